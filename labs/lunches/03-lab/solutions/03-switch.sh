# title: Open version 1 first, then switch
kubectl apply -f deployments.yaml
kubectl create service clusterip numbers-api --tcp=80:80 --dry-run=client -o yaml | kubectl set selector --local -f - app=lab-numbers-api -o yaml | kubectl apply -f -
kubectl expose deploy lab-numbers-web --name front --type LoadBalancer --port 8088 --target-port 80
kubectl wait --for=condition=Available deploy --all
kubectl patch service front -p '{"spec":{"selector":{"version":"v2"}}}'
