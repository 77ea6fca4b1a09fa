# title: Let kubectl copy the selectors
kubectl apply -f deployments.yaml
# expose takes its selector from the Deployment: both labels, here exactly what is wanted.
kubectl expose deploy lab-numbers-api --name numbers-api --port 80
kubectl expose deploy lab-numbers-web-v2 --name new-face --type LoadBalancer --port 8088 --target-port 80
kubectl wait --for=condition=Available deploy --all
