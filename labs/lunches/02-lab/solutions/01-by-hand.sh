# title: Write the Deployment around the Pod
cat > deployment.yaml <<'END'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: whoami
spec:
  selector:
    matchLabels:
      app: whoami
  template:
    metadata:
      labels:
        app: whoami
    spec:
      containers:
        - name: web
          image: kiamol/ch02-whoami
END
kubectl apply -f deployment.yaml
kubectl rollout status deployment/whoami
# The forward runs in the background, so that curl has the prompt.
kubectl port-forward deploy/whoami 8080:80 > /dev/null &
until curl -s http://localhost:8080; do sleep 0.1; done
kill $!
