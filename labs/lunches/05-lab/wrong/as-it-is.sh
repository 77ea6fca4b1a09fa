# title: Start as it is, and wait
# expect: crash-loop
# check: ch05-lab-answers
kubectl apply -f todo-list/
