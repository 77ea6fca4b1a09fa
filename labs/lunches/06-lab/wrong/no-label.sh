# title: Forget to label the node
# expect: not-scheduled
# check: ch06-lab-api
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
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
kubectl apply -f api-daemonset.yaml
