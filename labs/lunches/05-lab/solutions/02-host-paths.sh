# title: Directories of the one node there is
kubectl apply -f todo-list/
kubectl patch deployment todo-web-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","volumeMounts":[{"name":"data","mountPath":"/data"}]}],"volumes":[{"name":"data","hostPath":{"path":"/volumes/todo-web","type":"DirectoryOrCreate"}}]}}}}'
kubectl patch deployment todo-proxy-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","volumeMounts":[{"name":"data","mountPath":"/data/nginx"}]}],"volumes":[{"name":"data","hostPath":{"path":"/volumes/todo-proxy","type":"DirectoryOrCreate"}}]}}}}'
kubectl rollout status deployment/todo-web-lab
kubectl rollout status deployment/todo-proxy-lab
until curl -s -f http://localhost:8082/list > /dev/null; do sleep 1; done
curl -s -d "ToDo.Item=keep me" http://localhost:8082/new
kubectl delete pod -l "app in (todo-web-lab, todo-proxy-lab)" --ignore-not-found
kubectl rollout status deployment/todo-web-lab
kubectl rollout status deployment/todo-proxy-lab
