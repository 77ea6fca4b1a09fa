# title: Rewrite the manifest with envFrom
kubectl apply -f postgres/
kubectl create secret generic adminer-secret --from-literal=ADMINER_DEFAULT_SERVER=ch04-lab-db
kubectl create configmap adminer-config --from-literal=ADMINER_DESIGN=price
cat > env-from.txt <<'END'
          envFrom:
            - secretRef:
                name: adminer-secret
            - configMapRef:
                name: adminer-config
END
cat adminer.yaml env-from.txt > adminer-with-settings.yaml
kubectl apply -f adminer-with-settings.yaml
kubectl rollout status deployment/adminer-web
kubectl rollout status deployment/ch04-lab-db
