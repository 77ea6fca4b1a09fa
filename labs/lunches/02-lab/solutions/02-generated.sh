# title: Let kubectl write the first draft
kubectl create deployment my-name-is --image=kiamol/ch02-whoami \
  --dry-run=client -o yaml > deployment.yaml
kubectl apply -f deployment.yaml
kubectl rollout status deployment/my-name-is
# The forward runs in the background, so that curl has the prompt.
kubectl port-forward deploy/my-name-is 8081:80 > /dev/null &
until curl -s http://localhost:8081; do sleep 0.1; done
kill $!
