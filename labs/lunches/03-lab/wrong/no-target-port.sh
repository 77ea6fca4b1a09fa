# title: Forget that the Pod listens on another port
# expect: port-mismatch
# check: ch03-lab-v2
kubectl apply -f deployments.yaml
kubectl wait --for=condition=Available deploy --all
kubectl expose deploy lab-numbers-web-v2 --name numbers-web --type LoadBalancer --port 8088
