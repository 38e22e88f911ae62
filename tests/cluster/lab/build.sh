#!/usr/bin/env bash
# Builds all that a one-node Kubernetes needs from Go modules and Debian packages. Idempotent; 11 to 20 minutes the first time
# on two cores, one second after.
#   build.sh                        everything
#   build.sh --control-plane-only   only what up.sh --control-plane-only needs: hyperkube (etcd and kubectl are in it)
set -euo pipefail
. "$(dirname "$0")/env.sh"
NODE_TOO=1
for a in "$@"; do case $a in
  --control-plane-only) NODE_TOO=0 ;;
  *) echo "unknown option $a" >&2; exit 2 ;;
esac; done
mkdir -p "$BIN"
exec 9>"$CACHE/build.lock"; flock 9 # two test runs on one machine: the second finds everything built

debian_packages() { # only those that are missing: no network when there is nothing to do
  local want=(ca-certificates openssl) need=() p
  ((NODE_TOO)) && want+=(runc containernetworking-plugins iptables nftables conntrack ipset kmod iproute2 util-linux)
  for p in "${want[@]}"; do dpkg -s "$p" >/dev/null 2>&1 || need+=("$p"); done
  command -v go >/dev/null || [[ -x /usr/local/go/bin/go ]] || need+=(golang-go)
  ((${#need[@]})) || return 0
  echo "installing ${need[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
}
current() { [[ -x $BIN/$1 && $(cat "$BIN/.$1.version" 2>/dev/null) == "$2" ]]; }
built() { echo "$2" >"$BIN/.$1.version"; echo "built $1 $2 in $((SECONDS - BEGAN))s"; BEGAN=$SECONDS; }
install() { # `install NAME VERSION PACKAGE[,PACKAGE…] LDFLAGS`: through a side folder, so that a program in use can be replaced
  current "$1" "$2" && return
  local side packages; side=$(mktemp -d -p "$CACHE"); IFS=, read -ra packages <<<"$3"
  (cd / && GOBIN=$side go install -trimpath -ldflags "-s -w $4" "${packages[@]/%/@$2}")
  if [[ $1 == helm3 ]]; then mv "$side/helm" "$BIN/helm3"; else mv "$side"/* "$BIN/"; fi
  rmdir "$side"; built "$1" "$2"
}

BEGAN=$SECONDS
debian_packages
export PATH=$PATH:/usr/local/go/bin CGO_ENABLED=0 GOFLAGS=-buildvcs=false
MINOR=${K8S#v1.}; MINOR=${MINOR%%.*}

if ! current hyperkube $K8S; then # all of Kubernetes linked once: a fifth of the time that seven programs take
  ld="-s -w"; for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ld+=" -X $p.gitVersion=$K8S -X $p.gitMajor=1 -X $p.gitMinor=$MINOR -X $p.gitTreeState=clean"; done
  (cd "$LAB/src/hyperkube" && go build -mod=readonly -trimpath -ldflags "$ld" -o "$BIN/hyperkube.new" .)
  mv "$BIN/hyperkube.new" "$BIN/hyperkube"; built hyperkube $K8S
fi
for c in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do ln -sfn hyperkube "$BIN/$c"; done

if ((NODE_TOO)); then
  m=github.com/containerd/containerd/v2
  install containerd $CONTAINERD $m/cmd/containerd,$m/cmd/containerd-shim-runc-v2,$m/cmd/ctr "-X $m/version.Version=$CONTAINERD"
  install coredns $COREDNS github.com/coredns/coredns ""
  # without these, helm takes a chart's kubeVersion against v1.20.0 in `helm template` and `helm lint`
  x=; for p in pkg/lint/rules pkg/chartutil; do x+=" -X helm.sh/helm/v3/$p.k8sVersionMajor=1 -X helm.sh/helm/v3/$p.k8sVersionMinor=$MINOR"; done
  install helm3 $HELM helm.sh/helm/v3/cmd/helm "-X helm.sh/helm/v3/internal/version.version=$HELM$x"
  ln -sfn helm3 "$BIN/helm"
  install kubeconform $KUBECONFORM github.com/yannh/kubeconform/cmd/kubeconform "-X main.version=$KUBECONFORM"
  if [[ ! -x $BIN/pause ]]; then (cd "$LAB/src/pause" && go build -trimpath -ldflags "-s -w" -o "$BIN/pause" main.go); fi
fi
echo "lab: built, $(du -shc "$BIN" | tail -1 | cut -f1) in $BIN"
