# title: Refer to a Secret nobody made
# expect: config-missing
# check: ch04-lab-server
kubectl apply -f postgres/ -f adminer.yaml
kubectl rollout status deployment/adminer-web
kubectl patch deployment adminer-web --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"ADMINER_DEFAULT_SERVER","valueFrom":{"secretKeyRef":{"name":"adminer-secret","key":"server"}}}]}]}}}}'
