# title: Ask the ConfigMap for a key it does not have
# expect: key-missing
# check: ch04-lab-design
kubectl apply -f postgres/ -f adminer.yaml
kubectl rollout status deployment/adminer-web
kubectl create configmap adminer-config --from-literal=theme=price
kubectl patch deployment adminer-web --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"ADMINER_DESIGN","valueFrom":{"configMapKeyRef":{"name":"adminer-config","key":"design"}}}]}]}}}}'
