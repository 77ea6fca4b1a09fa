# title: Write the values into the Deployment
# expect: wrong-value
# check: ch04-lab-server
kubectl apply -f postgres/ -f adminer.yaml
kubectl set env deployment/adminer-web ADMINER_DEFAULT_SERVER=ch04-lab-db ADMINER_DESIGN=price
kubectl rollout status deployment/adminer-web
