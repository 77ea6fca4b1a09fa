# title: Mistype the label of the API
# expect: selector-mismatch
# check: ch03-lab-api
kubectl apply -f deployments.yaml
kubectl wait --for=condition=Available deploy --all
cat > api.yaml <<'YAML'
apiVersion: v1
kind: Service
metadata:
  name: numbers-api
spec:
  selector:
    app: numbers-api
  ports:
    - port: 80
YAML
kubectl apply -f api.yaml
