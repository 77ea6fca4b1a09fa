# title: Give the new API Pods a label the Service does not look for
# expect: selector-mismatch
# check: ch06-lab-api
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
kubectl label node $(kubectl get nodes -o jsonpath='{.items[0].metadata.name}') rng=hw
cat > api-daemonset.yaml <<'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: numbers-api
spec:
  selector:
    matchLabels:
      app: numbers-api-ds
  template:
    metadata:
      labels:
        app: numbers-api-ds
    spec:
      nodeSelector:
        rng: hw
      containers:
        - name: api
          image: kiamol/ch03-numbers-api
YAML
kubectl apply -f api-daemonset.yaml
kubectl rollout status ds/numbers-api
