# The cluster's certificates and kubeconfigs, made once per state directory. Sourced by up.sh.
# shellcheck shell=bash
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key" 2>/dev/null; }
ca() {
  key "$1"
  openssl req -x509 -new -key "$PKI/$1.key" -days 3650 -subj "/CN=$1" -out "$PKI/$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}
cert() { # `cert NAME CA SUBJECT [SAN]`
  key "$1"
  openssl req -new -key "$PKI/$1.key" -subj "$3" 2>/dev/null | openssl x509 -req -CA "$PKI/$2.crt" -CAkey "$PKI/$2.key" \
    -set_serial "0x$(openssl rand -hex 8)" -days 3650 -out "$PKI/$1.crt" -extfile <(
      echo "keyUsage=digitalSignature,keyEncipherment"; echo "extendedKeyUsage=serverAuth,clientAuth"
      [[ -z ${4:-} ]] || echo "subjectAltName=$4"
    ) 2>/dev/null
}
certificates() {
  [[ -s $PKI/done ]] && return
  ca ca; ca front-proxy-ca
  local k=DNS:kubernetes
  cert apiserver ca /CN=kube-apiserver "IP:127.0.0.1,IP:$NODE_IP,IP:$SVC_API,DNS:localhost,$k,$k.default,$k.default.svc,$k.default.svc.cluster.local"
  cert apiserver-kubelet ca /O=system:masters/CN=kube-apiserver-kubelet-client
  cert front-proxy front-proxy-ca /CN=front-proxy-client
  cert admin ca /O=system:masters/CN=admin
  cert controller-manager ca /CN=system:kube-controller-manager
  cert scheduler ca /CN=system:kube-scheduler
  cert proxy ca /CN=system:kube-proxy
  cert kubelet ca "/O=system:nodes/CN=system:node:$NODE"
  cert kubelet-server ca "/O=system:nodes/CN=system:node:$NODE" "IP:$NODE_IP,DNS:$NODE"
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null; openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
  chmod 600 "$PKI"/*.key; echo ok >"$PKI/done"
}
kubeconfig() ( # `kubeconfig CERTIFICATE FILE`
  umask 077
  b64() { base64 -w0 <"$1"; }
  cat >"$2" <<Y
apiVersion: v1
kind: Config
current-context: merit-lab
clusters: [{name: merit-lab, cluster: {server: "https://$API_IP:$API_PORT", certificate-authority-data: $(b64 "$PKI/ca.crt")}}]
users: [{name: $1, user: {client-certificate-data: $(b64 "$PKI/$1.crt"), client-key-data: $(b64 "$PKI/$1.key")}}]
contexts: [{name: merit-lab, context: {cluster: merit-lab, user: $1}}]
Y
)
