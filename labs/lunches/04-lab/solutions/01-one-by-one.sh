# title: One variable from one key each
kubectl apply -f postgres/ -f adminer.yaml
kubectl create secret generic adminer-secret --from-literal=server=ch04-lab-db
kubectl create configmap adminer-config --from-literal=design=price
cat > patch.yaml <<'END'
spec:
  template:
    spec:
      containers:
        - name: web
          env:
            - name: ADMINER_DEFAULT_SERVER
              valueFrom:
                secretKeyRef:
                  name: adminer-secret
                  key: server
            - name: ADMINER_DESIGN
              valueFrom:
                configMapKeyRef:
                  name: adminer-config
                  key: design
END
kubectl patch deployment adminer-web --patch-file patch.yaml
kubectl rollout status deployment/adminer-web
kubectl rollout status deployment/ch04-lab-db
