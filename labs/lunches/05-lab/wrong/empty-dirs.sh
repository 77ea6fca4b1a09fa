# title: Give both an empty directory
# expect: wrong-value
# check: ch05-lab-data
kubectl apply -f todo-list/
kubectl patch deployment todo-web-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"web","volumeMounts":[{"name":"data","mountPath":"/data"}]}],"volumes":[{"name":"data","emptyDir":{}}]}}}}'
kubectl patch deployment todo-proxy-lab --patch '{"spec":{"template":{"spec":{"containers":[{"name":"nginx","volumeMounts":[{"name":"data","mountPath":"/data/nginx/cache"}]}],"volumes":[{"name":"data","emptyDir":{}}]}}}}'
kubectl rollout status deployment/todo-web-lab
kubectl rollout status deployment/todo-proxy-lab
