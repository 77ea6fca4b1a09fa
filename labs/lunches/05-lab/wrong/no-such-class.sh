# title: Claim a class that does not exist
# expect: claim-pending
# check: ch05-lab-answers
cat > claim.yaml <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: todo-proxy-lab-pvc
spec:
  storageClassName: fast
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 100Mi
END
kubectl apply -f claim.yaml -f todo-list/
kubectl patch deployment todo-proxy-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","volumeMounts":[{"name":"data","mountPath":"/data/nginx/cache"}]}],"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"todo-proxy-lab-pvc"}}]}}}}'
