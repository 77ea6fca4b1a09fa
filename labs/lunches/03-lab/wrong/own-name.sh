# title: Name the Service as its Deployment
# expect: dns-missing
# check: ch03-lab-api
kubectl apply -f deployments.yaml
kubectl wait --for=condition=Available deploy --all
kubectl expose deploy lab-numbers-api --port 80
