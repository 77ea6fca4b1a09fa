# One context of one cluster and one user, each with the fields that are given, and a request with it.
printf 'apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {%s}}]\nusers: [{name: u, user: {%s}}]\n' "$1" "$2" > k
kubectl get ns -o name --kubeconfig=k
