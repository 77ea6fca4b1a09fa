# title: Forward to another Deployment, and mistype the image of this one
# expect: wrong-value
# check: ch02-lab-deployment
kubectl create deployment other --image=kiamol/ch02-hello-kiamol
kubectl create deployment x --image=kiamol/ch02-hello-kiamol --dry-run=client -o yaml > x.yaml
kubectl apply -f x.yaml
kubectl rollout status deployment/other
kubectl rollout status deployment/x
kubectl set image deployment/x ch02-hello-kiamol=kiamol/ch02-whoami-no-such
kubectl port-forward deploy/other 8080:80 > /dev/null &
until curl -s http://localhost:8080 > /dev/null; do sleep 0.1; done
kill $!
