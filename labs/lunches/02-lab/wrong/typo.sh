# title: Mistype the image
# expect: image-missing
# check: ch02-lab-deployment
kubectl create deployment whoami --image=kiamol/ch02-whoam
