#!/usr/bin/env bash
# Stops what up.sh started and removes what it left: processes, pods, mounts, network namespace. Cleans up after a killed run too.
#   down.sh [--control-plane-only] [--wipe]    --wipe also removes certificates, image store and logs
set -uo pipefail # no -e: what is already gone must not keep the rest
WIPE=0
for a in "$@"; do case $a in
  --control-plane-only) export MERIT_LAB_FULL=0 ;;
  --wipe) WIPE=1 ;;
  *) echo "unknown option $a" >&2; exit 2 ;;
esac; done
here=$(dirname "$0")
. "$here/env.sh"; . "$here/lib.sh"

remove_pods() { # by containerd while it answers, then by their shims: a killed containerd leaves both running
  local ctr=("$BIN/ctr" --connect-timeout 2s -a "$RUN/containerd.sock" -n k8s.io) c d
  if running containerd; then
    for c in $("${ctr[@]}" tasks ls -q 2>/dev/null); do "${ctr[@]}" tasks rm -f "$c" >/dev/null 2>&1 & done; wait
    for c in $("${ctr[@]}" containers ls -q 2>/dev/null); do "${ctr[@]}" containers rm "$c" >/dev/null 2>&1; done
  fi
  stop containerd
  for d in /proc/[0-9]*; do
    if { tr '\0' ' ' <"$d/cmdline"; } 2>/dev/null | grep -q -- "containerd-shim-runc-v2 .*-address $RUN/containerd.sock"; then
      pkill -9 -P "${d#/proc/}"; kill -9 "${d#/proc/}" 2>/dev/null
    fi
  done
}
remove_traces() {
  local m r
  awk '{print $2}' /proc/self/mounts | grep -E "^($STATE|$RUN)/" | sort -r | while read -r m; do umount -l "$m"; done
  ip link del "$NETNS" 2>/dev/null # takes the routes along
  ip netns del "$NETNS" 2>/dev/null
  rm -rf "$RUN" "$STATE/cni" "$STATE/kubelet" "$STATE/pod-logs"
  for r in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do # only empty groups can be removed
    [[ -d $r ]] && find "$r" -depth -type d -exec rmdir {} + 2>/dev/null
  done
}
# KILL: their data goes anyway, and a graceful API server waits ten seconds
for p in kubelet kube-proxy kube-scheduler kube-controller-manager; do stop $p KILL; done
[[ $FULL == 1 ]] && remove_pods
stop kube-apiserver KILL; stop etcd KILL
for d in /proc/[0-9]*; do ours "${d#/proc/}" && kill -9 "${d#/proc/}" 2>/dev/null; done # started, but killed before its pid was noted
[[ $FULL == 1 ]] && remove_traces
rm -rf "$STATE/etcd" "$PID"
((WIPE)) && rm -rf "$STATE"
say "down"
