# title: Leave the old controller beside the new one
# expect: not-tried
# check: ch06-lab-old
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
kubectl label node $(kubectl get nodes -o jsonpath='{.items[0].metadata.name}') rng=hw
cat > new.yaml <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: numbers-web
spec:
  replicas: 2
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
---
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
kubectl apply -f new.yaml
kubectl rollout status deploy/numbers-web
kubectl rollout status ds/numbers-api
