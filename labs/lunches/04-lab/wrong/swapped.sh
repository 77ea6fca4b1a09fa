# title: Put both settings into the ConfigMap, and refer to an empty Secret
# expect: wrong-value
# check: ch04-lab-server
kubectl apply -f postgres/ -f adminer.yaml
kubectl create secret generic adminer-secret --from-literal=nothing=here
kubectl create configmap adminer-config --from-literal=ADMINER_DEFAULT_SERVER=ch04-lab-db --from-literal=ADMINER_DESIGN=price
kubectl patch deployment adminer-web --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","envFrom":[{"secretRef":{"name":"adminer-secret"}},{"configMapRef":{"name":"adminer-config"}}]}]}}}}'
kubectl rollout status deployment/adminer-web
kubectl rollout status deployment/ch04-lab-db
