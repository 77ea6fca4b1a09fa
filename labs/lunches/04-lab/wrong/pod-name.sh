# title: Name the server by something that is no Service
# expect: wrong-value
# check: ch04-lab-server
kubectl apply -f postgres/ -f adminer.yaml
kubectl create secret generic adminer-secret --from-literal=ADMINER_DEFAULT_SERVER=postgres
kubectl set env deployment/adminer-web --from=secret/adminer-secret
kubectl rollout status deployment/adminer-web
kubectl rollout status deployment/ch04-lab-db
