# title: Open it inside the cluster only
# expect: wrong-value
# check: ch03-lab-open
kubectl apply -f deployments.yaml
kubectl wait --for=condition=Available deploy --all
kubectl expose deploy lab-numbers-web-v2 --name numbers-web --port 8088 --target-port 80
