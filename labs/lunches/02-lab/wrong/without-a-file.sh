# title: Create it without a file
# expect: wrong-value
# check: ch02-lab-applied
kubectl create deployment whoami --image=kiamol/ch02-whoami
kubectl rollout status deployment/whoami
