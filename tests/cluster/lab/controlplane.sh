# etcd, API server, controller manager, scheduler. Sourced by up.sh.
# shellcheck shell=bash
start_etcd() {
  local client=http://127.0.0.1:$ETCD_PORT peer=http://127.0.0.1:$PEER_PORT
  start etcd "$BIN/etcd" --name="$NODE" --data-dir="$STATE/etcd" --unsafe-no-fsync --logger=zap --log-level=warn \
    --listen-client-urls="$client" --advertise-client-urls="$client" \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="$NODE=$peer"
}
start_apiserver() {
  local api=(
    --etcd-servers="http://127.0.0.1:$ETCD_PORT" --secure-port="$API_PORT" --bind-address="$API_IP"
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt"
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key"
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-cluster-ip-range="$SVC_CIDR"
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group
    --requestheader-extra-headers-prefix=X-Remote-Extra-
    --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key"
  )
  if [[ $FULL == 1 ]]; then
    # the namespace has no DNS: the kubelet is called by its address
    api+=(--advertise-address="$NODE_IP" --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$PKI/ca.crt"
      --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key")
  else api+=(--endpoint-reconciler-type=none); fi
  start kube-apiserver "$BIN/kube-apiserver" "${api[@]}"
}
start_controllers() { # no leader election: one of each, and none must stop when the API server is away for a while
  local c=$CONF/controller-manager.kubeconfig s=$CONF/scheduler.kubeconfig
  start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$c" --authentication-kubeconfig="$c" \
    --authorization-kubeconfig="$c" --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
    --use-service-account-credentials --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --leader-elect=false --bind-address=127.0.0.1 --secure-port="$KCM_PORT"
  [[ $FULL == 1 ]] || return 0
  start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$s" --authentication-kubeconfig="$s" --authorization-kubeconfig="$s" \
    --leader-elect=false --bind-address=127.0.0.1
}
