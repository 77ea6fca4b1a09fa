# title: Name the keys as the variables, and take all of them
cat > settings.yaml <<'END'
apiVersion: v1
kind: Secret
metadata:
  name: where-things-are
stringData:
  ADMINER_DEFAULT_SERVER: ch04-lab-db.default.svc.cluster.local
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: how-things-look
data:
  ADMINER_DESIGN: price
END
kubectl apply -f settings.yaml -f postgres/ -f adminer.yaml
kubectl set env deployment/adminer-web --from=secret/where-things-are
kubectl set env deployment/adminer-web --from=configmap/how-things-look
kubectl rollout status deployment/adminer-web
kubectl rollout status deployment/ch04-lab-db
