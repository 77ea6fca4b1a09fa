# title: Mount the volume over the program
# expect: mount-hidden
# check: ch05-lab-data
cat > claims.yaml <<'END'
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: todo-proxy-lab-pvc
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 100Mi
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: todo-web-lab-pvc
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 200Mi
END
kubectl apply -f claims.yaml -f todo-list/
kubectl patch deployment todo-web-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","volumeMounts":[{"name":"data","mountPath":"/app"}]}],"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"todo-web-lab-pvc"}}]}}}}'
