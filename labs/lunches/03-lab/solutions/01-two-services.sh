# title: Two Services in one file
kubectl apply -f deployments.yaml
cat > services.yaml <<'YAML'
apiVersion: v1
kind: Service
metadata:
  name: numbers-api
spec:
  selector:
    app: lab-numbers-api
  ports:
    - port: 80
---
apiVersion: v1
kind: Service
metadata:
  name: numbers-web
spec:
  type: LoadBalancer
  selector:
    app: lab-numbers-web
    version: v2
  ports:
    - port: 8088
      targetPort: 80
YAML
kubectl apply -f services.yaml
kubectl wait --for=condition=Available deploy --all
