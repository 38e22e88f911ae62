# The node: its network namespace, containerd, kubelet, kube-proxy, CoreDNS. Sourced by up.sh.
# shellcheck shell=bash
network() {
  mkdir -p "$RUN"
  ip netns add "$NETNS"
  ip link add "$NETNS" type veth peer name node0 netns "$NETNS"
  ip addr add $HOST_IP/30 dev "$NETNS"; ip link set "$NETNS" up
  ip -n "$NETNS" link set lo up
  ip -n "$NETNS" addr add $NODE_IP/30 dev node0; ip -n "$NETNS" link set node0 up
  ip -n "$NETNS" route add default via $HOST_IP # needed for route look-ups; nothing forwards there
  ip route add $POD_CIDR via $NODE_IP; ip route add $SVC_CIDR via $NODE_IP # tests reach pods and Services from outside
  nsenter --net="/run/netns/$NETNS" -- sh -c 'cd /proc/sys/net && echo 1 >ipv4/ip_forward && echo 1 >ipv4/conf/all/route_localnet
    { echo 1 >bridge/bridge-nf-call-iptables; } 2>/dev/null || true'
}
start_containerd() {
  # restrict_oom_score_adj: root may lack CAP_SYS_RESOURCE, then no process may lower its score and every sandbox fails
  cat >"$CONF/containerd.toml" <<T
version = 3
root = "$STATE/containerd"
state = "$RUN/containerd"
[grpc]
  address = "$RUN/containerd.sock"
[ttrpc]
  address = "$RUN/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.runtime"]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "docker.io/lab/pause:1"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$CONF/cni"
T
  mkdir -p "$CONF/cni"; cat >"$CONF/cni/10-lab.conflist" <<J
{"cniVersion": "1.0.0", "name": "lab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$STATE/cni", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
  start containerd "$BIN/containerd" --config "$CONF/containerd.toml"
  wait_for 30 containerd "$BIN/ctr" -a "$RUN/containerd.sock" version
}
system_images() { # the sandbox's pause and CoreDNS: one static program each
  local image; mkdir -p "$STATE/images"
  for image in pause coredns; do
    local tar=$STATE/images/$image.tar
    [[ -s $tar && $tar -nt $BIN/$image ]] || "$PYTHON" "$LAB/oci.py" "$tar" "lab/$image:1" "$BIN/$image"
    "$BIN/ctr" -a "$RUN/containerd.sock" -n k8s.io images import "$tar" >/dev/null 2>>"$LOG/containerd.log"
  done
}
start_kubelet() {
  : >"$CONF/resolv.conf"
  mkdir -p "$STATE/volumeplugins" "$STATE/pod-logs"
  # failCgroupV1: some machines still have v1 controllers. Image GC is off: images are imported and could not be pulled again.
  cat >"$CONF/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-server.crt
tlsPrivateKeyFile: $PKI/kubelet-server.key
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $CONF/resolv.conf
containerRuntimeEndpoint: unix://$RUN/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
volumePluginDir: $STATE/volumeplugins
podLogsDir: $STATE/pod-logs
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
Y
  start kubelet "$BIN/kubelet" --config="$CONF/kubelet.yaml" --kubeconfig="$CONF/kubelet.kubeconfig" --root-dir="$STATE/kubelet" \
    --hostname-override="$NODE" --node-ip=$NODE_IP
}
start_kube_proxy() { # conntrack settings are the machine's, not the namespace's: leave them
  start kube-proxy "$BIN/kube-proxy" --kubeconfig="$CONF/proxy.kubeconfig" --proxy-mode=nftables --cluster-cidr=$POD_CIDR \
    --hostname-override="$NODE" --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0 --oom-score-adj=0 --metrics-bind-address=127.0.0.1:10249 --healthz-bind-address=127.0.0.1:10256
}
