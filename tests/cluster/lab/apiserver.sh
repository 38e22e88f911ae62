#!/usr/bin/env bash
# Takes the API server away, as a crash would, and brings it back; etcd and all others go on.
#   apiserver.sh stop|start [--control-plane-only]
set -euo pipefail
[[ ${2:-} != --control-plane-only ]] || export MERIT_LAB_FULL=0
here=$(dirname "$0")
. "$here/env.sh"; . "$here/lib.sh"
case ${1:-} in
  stop) stop kube-apiserver KILL ;;
  start)
    running kube-apiserver || restart kube-apiserver
    wait_for 60 kube-apiserver "$BIN/kubectl" get --raw=/readyz
    ;;
  *) echo "usage: $0 stop|start [--control-plane-only]" >&2; exit 2 ;;
esac
