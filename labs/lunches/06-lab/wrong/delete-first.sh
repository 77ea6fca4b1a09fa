# title: Delete the old controller first
# expect: no-endpoints
# check: ch06-lab-no-gap
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
kubectl delete rc numbers-web
kubectl wait --for=delete pod -l app=numbers-web
cat > web-deployment.yaml <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: numbers-web
spec:
  replicas: 3
  selector:
    matchLabels:
      app: numbers-web
  template:
    metadata:
      labels:
        app: numbers-web
    spec:
      containers:
        - name: web
          image: kiamol/ch03-numbers-web
YAML
kubectl apply -f web-deployment.yaml
kubectl rollout status deploy/numbers-web
