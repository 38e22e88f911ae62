#!/usr/bin/env bash
# Starts a one-node Kubernetes as background processes and waits until it is ready. Called twice, it finds it running.
#   up.sh                        a whole node; needs root. All of it lives in the network namespace $NETNS
#   up.sh --control-plane-only   etcd, API server, controller manager on 127.0.0.1; needs no root
set -euo pipefail
for a in "$@"; do case $a in
  --control-plane-only) export MERIT_LAB_FULL=0 ;;
  *) echo "unknown option $a" >&2; exit 2 ;;
esac; done
here=$(dirname "$0")
. "$here/env.sh"; . "$here/lib.sh"; . "$here/pki.sh"; . "$here/controlplane.sh"; . "$here/node.sh"
PYTHON=${PYTHON:-python3}
all=(etcd kube-apiserver kube-controller-manager); [[ $FULL == 1 ]] && all+=(kube-scheduler containerd kubelet kube-proxy)

healthy() { local p; for p in "${all[@]}"; do running "$p" || return 1; done; "$BIN/kubectl" get --raw=/readyz >/dev/null 2>&1; }
if healthy; then say "already up: export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH"; exit 0; fi
MERIT_LAB_FULL=$FULL "$here/down.sh" >/dev/null # what a killed run may have left

mkdir -p "$PKI" "$CONF" "$LOG" "$PID"
trap '[[ $? == 0 ]] || echo "lab: not up; logs in $LOG" >&2' EXIT
API_PORT=6443 ETCD_PORT=2379 PEER_PORT=2380 KCM_PORT=10257
if [[ $FULL == 1 ]]; then network; say "network namespace $NETNS ($NODE_IP)"
else # on the machine's own loopback: take ports that are free
  read -r API_PORT ETCD_PORT PEER_PORT KCM_PORT < <("$PYTHON" -c 'import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(x.getsockname()[1] for x in s))')
fi
certificates
for c in controller-manager scheduler proxy kubelet; do kubeconfig $c "$CONF/$c.kubeconfig"; done
kubeconfig admin "$KUBECONFIG"
say "certificates and kubeconfigs"

start_etcd
start_apiserver
if [[ $FULL == 1 ]]; then # containerd needs nothing of the control plane: let it start meanwhile
  start_containerd; system_images
  say "containerd answers, its images are in"
fi
k() { "$BIN/kubectl" "$@"; }
wait_for 120 kube-apiserver k get --raw=/readyz
say "API server ready"
start_controllers
if [[ $FULL == 1 ]]; then
  start_kubelet
  start_kube_proxy
  k apply -f "$LAB/manifests/coredns.yaml" >/dev/null
  wait_for 60 kubelet k get node $NODE
  wait_for 90 kubelet k wait --for=condition=Ready node/$NODE --timeout=2s
  say "node ready"
  wait_for 90 kube-controller-manager k -n kube-system rollout status deployment/coredns --timeout=2s
  say "CoreDNS ready"
fi
wait_for 60 kube-controller-manager k -n default get serviceaccount default
for p in "${all[@]}"; do running "$p" || { echo "$p died:" >&2; tail -20 "$LOG/$p.log" >&2; exit 1; }; done
say "up: export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH"
