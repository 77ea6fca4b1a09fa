# title: Take the old controller off its Pods, and the Pods later
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
kubectl label node $(kubectl get nodes -o jsonpath='{.items[0].metadata.name}') rng=hw
cat > new.yaml <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: page
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
kubectl rollout status deploy/page
kubectl rollout status ds/numbers-api
# Without --cascade=orphan its Pods would go with it; like this each step can be looked at.
kubectl delete rc numbers-web --cascade=orphan
kubectl delete pods -l 'app=numbers-web,!pod-template-hash'
kubectl delete pod -l kiamol=ch06-lab
