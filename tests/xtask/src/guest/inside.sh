# Inside the guest: three ways to be started on control groups version 2, and what must hold for each.
# The last line says "guest: passed" or "guest: failed"; the host reads it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
groups=/sys/fs/cgroup
failures=0

claim() { # claim WHAT SAW WANTED - one line of the report
  if [[ $2 == $3 ]]; then echo "ok      $1"; else
    echo "FAILED  $1: saw ${2:-nothing}, wanted $3"
    failures=$((failures + 1))
  fi
}

cat >/tmp/greedy.yaml <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: kiamol/ch02-whoami
    command: [sh, -c, 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done']
    resources: {limits: {memory: 32Mi, cpu: 500m}}
---
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  containers:
  - name: c
    image: kiamol/ch02-hello-kiamol
    resources: {limits: {memory: 64Mi}}
Y

# play NAME USER ENFORCED - a cluster of one node as that user, from this control group
play() {
  local name=$1 user=$2 enforced=$3 home=/tmp/$1 state up kubectl
  state=$home/state
  mkdir -p "$home"
  chown "$user" "$home"
  as() { setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups env HOME="$home" "$@"; }
  as /run/binary doctor --state "$state" | grep -E '^[a-zA-Z]+ +(kernel|namespaces|cgroups|user ids)'
  as /run/binary cluster up --nodes 1 --state "$state" --write-kubeconfig "$home/kubeconfig" >"$home/log" 2>&1 &
  up=$!
  for _ in $(seq 600); do
    grep -q 'ready in' "$home/log" && break
    sleep 0.2
  done
  cat "$home/log"
  kubectl="kubectl --kubeconfig $home/kubeconfig"
  $kubectl apply -f /tmp/greedy.yaml
  $kubectl wait --for=condition=Ready pod/modest --timeout=60s
  $kubectl wait --for=jsonpath='{.status.phase}'=Failed pod/greedy --timeout=60s
  claim "$name: a container over its memory limit" "$($kubectl get pod greedy -o jsonpath='{.status.containerStatuses[0].state.terminated.reason}')" OOMKilled
  claim "$name: memory.max of a limited container" "$(find $groups -path '*drydock-*' -name memory.max -exec cat {} + | grep -c '^67108864$')" "$enforced"
  claim "$name: the control groups a container sees" "$($kubectl exec modest -- cat /proc/self/cgroup)" "0::/"
  claim "$name: a container counts its processes" "$($kubectl exec modest -- sh -c 'ls /proc | grep -c "^[0-9]"')" "[2-9]"
  kill "$(pgrep -o -f "binary cluster up --nodes 1 --state $state")"
  wait "$up"
  sleep 2
  claim "$name: processes left" "$(pgrep -c -f "$state")" 0
  claim "$name: control groups left" "$(find $groups -type d -name 'drydock-*' | wc -l)" 0
}

hand_down() { echo "+cpu +memory +pids" >"$1/cgroup.subtree_control"; }
enter() { mkdir -p "$1" && echo $$ >"$1/cgroup.procs"; }

uname -r
# As systemd lays them out: a login session hands nothing down, the user's own manager may.
hand_down $groups
enter $groups/user.slice/session-1.scope
hand_down $groups/user.slice
play root root 1

useradd --create-home visitor
own=$groups/user.slice/user@$(id -u visitor).service
enter "$own/app.slice/run.scope"
hand_down "$own"
hand_down "$own/app.slice"
chown -R visitor "$own/app.slice"
play delegated visitor 1
enter $groups/user.slice/session-2.scope
play session visitor 0

if [ "$failures" = 0 ]; then echo "guest: passed"; else echo "guest: failed"; fi
sleep 1
echo o >/proc/sysrq-trigger
sleep 60
