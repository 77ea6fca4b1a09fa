# title: A claim of the default class for each
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
kubectl patch deployment todo-web-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","volumeMounts":[{"name":"data","mountPath":"/data"}]}],"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"todo-web-lab-pvc"}}]}}}}'
kubectl patch deployment todo-proxy-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","volumeMounts":[{"name":"data","mountPath":"/data/nginx/cache"}]}],"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"todo-proxy-lab-pvc"}}]}}}}'
kubectl rollout status deployment/todo-web-lab
kubectl rollout status deployment/todo-proxy-lab
until curl -s -f http://localhost:8082/list > /dev/null; do sleep 1; done
curl -s -d "ToDo.Item=keep me" http://localhost:8082/new
kubectl delete pod -l "app in (todo-web-lab, todo-proxy-lab)" --ignore-not-found
kubectl rollout status deployment/todo-web-lab
kubectl rollout status deployment/todo-proxy-lab
