# title: Apply the right Deployment, and ask another one
# expect: not-yet
# check: ch02-lab-asked
kubectl create deployment whoami --image=kiamol/ch02-whoami --dry-run=client -o yaml > whoami.yaml
kubectl apply -f whoami.yaml
kubectl create deployment other --image=kiamol/ch02-hello-kiamol
kubectl rollout status deployment/whoami
kubectl rollout status deployment/other
kubectl port-forward deploy/other 8080:80 > /dev/null &
until curl -s http://localhost:8080 > /dev/null; do sleep 0.1; done
kill $!
