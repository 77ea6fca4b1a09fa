# title: New beside old, then the old goes
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
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
cat > api-daemonset.yaml <<'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: numbers-api
spec:
  selector:
    matchLabels:
      app: numbers-api
  template:
    metadata:
      labels:
        app: numbers-api
    spec:
      nodeSelector:
        rng: hw
      containers:
        - name: api
          image: kiamol/ch03-numbers-api
YAML
kubectl apply -f web-deployment.yaml
kubectl rollout status deploy/numbers-web
kubectl delete rc numbers-web
kubectl label node $(kubectl get nodes -o jsonpath='{.items[0].metadata.name}') rng=hw
kubectl apply -f api-daemonset.yaml
kubectl rollout status ds/numbers-api
kubectl delete pod numbers-api
