# title: Mend the API with a label on the lonely Pod
# expect: absent
# check: ch06-lab-api
kubectl apply -f numbers/
kubectl wait --for=jsonpath="{.status.readyReplicas}"=2 rc/numbers-web
kubectl label pod numbers-api app=numbers-api
kubectl wait --for=condition=Ready pod numbers-api
