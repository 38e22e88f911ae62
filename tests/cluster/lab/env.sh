# Sourced by every script here: names, places and versions. Override by the environment.
# shellcheck shell=bash disable=SC2034
LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${MERIT_CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/merit-cluster} # outside the checkout: survives a fresh clone
BIN=$CACHE/bin

# Pinned: a cached program of another version is built again.
K8S=v1.37.2 CONTAINERD=v2.4.2 COREDNS=v1.15.0 HELM=v3.22.0 KUBECONFORM=v0.8.0

# A control plane without a node is another instance than a whole one: both may run at once.
FULL=${MERIT_LAB_FULL:-1}
STATE=${MERIT_LAB_STATE:-$CACHE/$([[ $FULL == 1 ]] && echo node || echo control-plane)}
PKI=$STATE/pki CONF=$STATE/conf LOG=$STATE/log PID=$STATE/pid
# Never the caller's KUBECONFIG: that may be a cluster somebody needs.
export KUBECONFIG=$STATE/kubeconfig

RUN=/run/merit-lab # sockets: kept short, a unix socket's path has at most 107 bytes
NETNS=merit-lab    # network namespace of the whole node, so that the machine's own network stays as it is
NODE=lab
HOST_IP=10.111.0.1 # this side of the veth pair
NODE_IP=10.111.0.2 # the node's address, inside the namespace
POD_CIDR=10.244.0.0/24
SVC_CIDR=10.96.0.0/16
SVC_API=10.96.0.1
DNS_IP=10.96.0.10
if [[ $FULL == 1 ]]; then API_IP=$NODE_IP; else API_IP=127.0.0.1; fi
