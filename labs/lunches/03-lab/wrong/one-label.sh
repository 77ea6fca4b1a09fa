# title: Select by app alone, and get both versions
# expect: selector-mismatch
# check: ch03-lab-v2
kubectl apply -f deployments.yaml
cat > services.yaml <<'YAML'
apiVersion: v1
kind: Service
metadata:
  name: numbers-web
spec:
  type: LoadBalancer
  selector:
    app: lab-numbers-web
  ports:
    - port: 8088
      targetPort: 80
YAML
kubectl apply -f services.yaml
kubectl wait --for=condition=Available deploy --all
