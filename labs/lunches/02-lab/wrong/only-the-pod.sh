# title: Apply the Pod and leave it at that
# expect: absent
# check: ch02-lab-deployment
kubectl apply -f pod.yaml
kubectl wait --for=condition=Ready pod whoami
