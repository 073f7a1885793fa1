#!/usr/bin/env bash
# Brings up a real Kubernetes cluster (one or more nodes) on this machine.
# Each node is one set of mount, pid, network, uts, ipc and cgroup namespaces
# whose first process is a tiny init: ending it ends the whole node. Nothing is
# written outside CLUSTER_STATE, no sysctl or iptables rule of the machine changes;
# the machine itself only gets one bridge with one veth per node.
#
#   CLUSTER_STATE   folder for all state; not under /run, /var/lib, /var/log
#   CLUSTER_NAME    up to 8 of [a-z0-9]; also the bridge's name behind `ks`
#   CLUSTER_INDEX   0..250, third octet of the node network 10.222.N.0/24
#   CLUSTER_NODES   number of nodes (default 1)
#   TENCRYPT_CACHE  what build.sh, images.sh and unpack.sh made
set -euo pipefail
name=${CLUSTER_NAME:?}
idx=${CLUSTER_INDEX:?}
nodes=${CLUSTER_NODES:-1}
state=${CLUSTER_STATE:?}
bin=${TENCRYPT_CACHE:?}/bin
images=$TENCRYPT_CACHE/images
proxy=${CLUSTER_PROXY:-nftables} # or iptables
cni_bin=/usr/lib/cni
runc=/usr/sbin/runc
containerd=$(command -v containerd)
etcd=$(PATH="$PATH:$bin" command -v etcd)
case $("$containerd" --version) in *" 1."*) cri=1 ;; *) cri=2 ;; esac
t0=$(date +%s%3N)
say() { printf '%6d ms  %s\n' $(($(date +%s%3N) - t0)) "$*"; }

[[ $name =~ ^[a-z0-9]{1,8}$ ]] || { echo "bad CLUSTER_NAME" >&2; exit 2; }
mkdir -p "$state"; state=$(cd "$state" && pwd -P)
case $state in /run/* | /var/lib/* | /var/log/* | /proc/* | /sys/*) echo "CLUSTER_STATE must not be there" >&2; exit 2 ;; esac
if [ -e "$state/up" ]; then
  pid=$(cat "$state/nodes/n1/pid" 2>/dev/null || true)
  if [ -e "$state/complete" ] && [ -n "$pid" ] && grep -qs "/ks-$name-n1" "/proc/$pid/cgroup"; then echo "already up: $state"; exit 0; fi
  echo "half a cluster in $state: run down.sh first" >&2; exit 1
fi
net=10.222.$idx
api=https://$net.11:6443
pods=10.244.0.0/16
services=10.96.0.0/16
dns=10.96.0.10
touch "$state/up"
echo "$name" >"$state/name"
dirname "$containerd" >"$state/containerd-path"

# ---- keys and certificates ------------------------------------------------
pki=$state/pki
mkdir -p "$pki" "$state/kubeconfig" "$state/log" "$state/nodes"
chmod 700 "$pki" "$state/kubeconfig"
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
  openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
ca() { # ca NAME
  key "$pki/$1.key"
  openssl req -x509 -new -key "$pki/$1.key" -subj "/CN=$1" -days 30 -out "$pki/$1.crt" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}
cert() { # cert CA NAME SUBJECT USAGE [SAN]
  key "$pki/$2.key"
  openssl req -new -key "$pki/$2.key" -subj "$3" -out "$pki/$2.csr"
  { echo "basicConstraints=critical,CA:FALSE"
    echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=$4"
    [ -z "${5:-}" ] || echo "subjectAltName=$5"; } >"$pki/$2.ext"
  openssl x509 -req -in "$pki/$2.csr" -CA "$pki/$1.crt" -CAkey "$pki/$1.key" -days 30 \
    -set_serial "0x$(openssl rand -hex 8)" -extfile "$pki/$2.ext" -out "$pki/$2.crt" 2>/dev/null
  rm -f "$pki/$2.csr" "$pki/$2.ext"
}
kubeconfig() { # kubeconfig NAME
  cat >"$state/kubeconfig/$1" <<K
apiVersion: v1
kind: Config
clusters:
- name: $name
  cluster: {server: "$api", certificate-authority: $pki/ca.crt}
users:
- name: $1
  user: {client-certificate: $pki/$1.crt, client-key: $pki/$1.key}
contexts:
- name: $1
  context: {cluster: $name, user: $1}
current-context: $1
K
}
ca ca; ca etcd-ca; ca front-proxy-ca
key "$pki/sa.key"; openssl pkey -in "$pki/sa.key" -pubout -out "$pki/sa.pub"
cert etcd-ca etcd /CN=etcd serverAuth,clientAuth IP:127.0.0.1
cert etcd-ca etcd-client /CN=kube-apiserver clientAuth
cert ca apiserver /CN=kube-apiserver serverAuth "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$net.11"
cert ca apiserver-kubelet "/O=kubeadm:cluster-admins/CN=kube-apiserver-kubelet-client" clientAuth
cert front-proxy-ca front-proxy /CN=front-proxy-client clientAuth
cert ca admin "/O=system:masters/CN=admin" clientAuth
cert ca controller-manager /CN=system:kube-controller-manager clientAuth
cert ca scheduler /CN=system:kube-scheduler clientAuth
cert ca proxy /CN=system:kube-proxy clientAuth
for u in admin controller-manager scheduler proxy; do kubeconfig $u; done
say "keys and certificates"

# ---- the machine's side of the node network ---------------------------------
br=ks$name
if ! ip link show "$br" >/dev/null 2>&1; then
  ip link add "$br" type bridge
  ip addr add "$net.1/24" dev "$br"
fi
ip link set "$br" up

# ---- nodes ------------------------------------------------------------------
# cgroup v1 hierarchies of this process, as "controller path" lines
controllers() { awk -F: '$2 != "" {print $2, $3}' /proc/self/cgroup; }
cgdir() { local c=${1#name=}; echo "/sys/fs/cgroup/$c${2%/}/ks-$name-$3"; }

cat >"$state/node-init" <<'I'
#!/bin/bash
# First process of a node: private mounts, then the reaper.
set -eu
dir=$1 host=$2 reaper=$3 list=$4
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
for c in $list; do
  d=/sys/fs/cgroup/${c#name=}; mkdir -p "$d"
  case $c in name=*) mount -t cgroup -o "none,$c" cgroup "$d" ;; *) mount -t cgroup -o "$c" cgroup "$d" ;; esac
done
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock /run/sysctl
mount --bind "$dir/var-lib" /var/lib
mount --bind "$dir/var-log" /var/log
# kubelet wants these three machine-wide settings and would write them: it
# reads the wanted value here instead and leaves the machine's own alone
for s in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
  f=/run/sysctl/$(basename "${s%=*}"); echo "${s#*=}" >"$f"
  mount --bind "$f" "/proc/sys/${s%=*}"
done
hostname "$host"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
mount --make-rshared /
touch "$dir/ready"
exec "$reaper"
I
chmod +x "$state/node-init"

node_start() { # node_start N
  local n=n$1 dir=$state/nodes/n$1 c p d i list=
  mkdir -p "$dir/var-lib" "$dir/var-log"
  : >"$dir/cgroups"
  while read -r c p; do
    d=$(cgdir "$c" "$p" "$n"); list="$list $c"
    mkdir -p "$d"; echo "$d" >>"$dir/cgroups"
    if [ "$c" = cpuset ]; then
      cat "$(dirname "$d")/cpuset.cpus" >"$d/cpuset.cpus"
      cat "$(dirname "$d")/cpuset.mems" >"$d/cpuset.mems"
      echo 1 >"$d/cgroup.clone_children"
    fi
  done < <(controllers)
  (
    while read -r d; do echo "$BASHPID" >"$d/cgroup.procs"; done <"$dir/cgroups"
    exec setsid env -i PATH="$PATH" unshare --mount --net --uts --ipc --cgroup --pid --fork --mount-proc --kill-child \
      --propagation private "$state/node-init" "$dir" "$n" "$bin/pause" "$list"
  ) </dev/null >"$state/log/$n-init.log" 2>&1 &
  echo $! >"$dir/parent"
  for i in $(seq 100); do [ -e "$dir/ready" ] && break; sleep 0.05; done
  [ -e "$dir/ready" ] || { echo "node $n did not start:" >&2; cat "$state/log/$n-init.log" >&2; exit 1; }
  local parent; parent=$(cat "$dir/parent")
  awk '{print $1}' "/proc/$parent/task/$parent/children" >"$dir/pid"
  local pid; pid=$(cat "$dir/pid")
  ip link add "ks${name}v$1" type veth peer name eth0 netns "$pid"
  ip link set "ks${name}v$1" master "$br" up
  inside "$n" ip addr add "$net.1$1/24" dev eth0
  inside "$n" ip link set eth0 up
  inside "$n" ip route add default via "$net.1"
  for i in $(seq "$nodes"); do
    [ "$i" = "$1" ] || inside "$n" ip route add "10.244.$i.0/24" via "$net.1$i"
  done
  # pods keep their address inside the cluster and take the node's outside it
  inside "$n" iptables -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -o eth0 -m comment --comment "pods to outside" -j MASQUERADE
}
# inside NODE COMMAND...: run in a node's namespaces and cgroups
inside() {
  local n=$1 dir=$state/nodes/$1 pid; shift
  pid=$(cat "$dir/pid")
  ( while read -r d; do echo "$BASHPID" >"$d/cgroup.procs"; done <"$dir/cgroups"
    exec env -i PATH="$(dirname "$containerd"):$bin:$PATH" HOME=/root nsenter -t "$pid" -m -u -i -n -p -C -- "$@" )
}
daemon() { # daemon NODE LOG COMMAND...
  local n=$1 log=$2; shift 2
  inside "$n" setsid "$@" </dev/null >"$state/log/$n-$log.log" 2>&1 &
}

# What containerd has on its disk once it has the images: layers shared with all nodes, databases of its own.
copy_images() { # copy_images FOLDER
  cp -al "$images/unpacked" "$1"
  find "$1" -name '*.db' -printf '%P\n' | while read -r db; do cp --remove-destination "$images/unpacked/$db" "$1/$db"; done
}

runtime_start() { # containerd + CNI configuration + images + kubelet
  local n=n$1 dir=$state/nodes/n$1
  mkdir -p "$dir/cni" "$dir/bin"
  cat >"$dir/cni/10-bridge.conflist" <<K
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.$1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
           "dataDir": "/run/cni-ipam"}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
K
  local img=io.containerd.cri.v1.images run=io.containerd.cri.v1.runtime sandbox='[plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "localhost/tencrypt-test/pause:1"' version=3
  if [ $cri = 1 ]; then # containerd 1.x: one CRI plugin, configuration version 2
    img=io.containerd.grpc.v1.cri run=$img version=2 sandbox='[plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "localhost/tencrypt-test/pause:1"
    restrict_oom_score_adj = true'
  fi
  cat >"$dir/containerd.toml" <<K
version = $version
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "/run/containerd/containerd.sock"
$sandbox
$([ $cri = 1 ] || printf '[plugins."%s"]\n  restrict_oom_score_adj = true\n' "$run")
[plugins."$run".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."$run".containerd.runtimes.runc.options]
    BinaryName = "$runc"
    SystemdCgroup = false
[plugins."$run".cni]
  $([ $cri = 1 ] && echo "bin_dir = \"$cni_bin\"" || echo "bin_dirs = [\"$cni_bin\"]")
  conf_dir = "$dir/cni"
K
  echo "nameserver 127.0.0.1" >"$dir/resolv.conf"
  cert ca "kubelet-$n" "/O=system:nodes/CN=system:node:$n" clientAuth,serverAuth "DNS:$n,IP:$net.1$1"
  kubeconfig "kubelet-$n"
  cat >"$dir/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $net.1$1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-$n.crt
tlsPrivateKeyFile: $pki/kubelet-$n.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: [$dns]
resolvConf: $dir/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
registerNode: true
serializeImagePulls: false
K
  cat >"$dir/proxy.yaml" <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $proxy
clientConnection: {kubeconfig: $state/kubeconfig/proxy}
clusterCIDR: $pods
hostnameOverride: $n
bindAddress: $net.1$1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s, udpTimeout: 0s, udpStreamTimeout: 0s}
iptables: {minSyncPeriod: 100ms}
nftables: {minSyncPeriod: 100ms}
K
  ( flock -s 8; copy_images "$dir/var-lib/containerd" ) 8>"$images/lock"
  daemon "$n" containerd "$containerd" --config "$dir/containerd.toml"
  local i
  for i in $(seq 100); do inside "$n" test -S /run/containerd/containerd.sock && break; sleep 0.1; done
  # containerd listens before it answers, and a kubelet that is there too early ends: it is started again, as an init would
  daemon "$n" kubelet bash -c 'until "$@"; do sleep 0.2; done' kubelet \
    "$bin/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$state/kubeconfig/kubelet-$n" \
    --hostname-override="$n" --node-ip="$net.1$1" --root-dir=/var/lib/kubelet
}

node_start 1
say "node n1's namespaces"
daemon n1 etcd "$etcd" --name n1 --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster n1=http://127.0.0.1:2380 \
  --client-cert-auth --trusted-ca-file "$pki/etcd-ca.crt" --cert-file "$pki/etcd.crt" --key-file "$pki/etcd.key"
daemon n1 kube-apiserver "$bin/kube-apiserver" --advertise-address="$net.11" --bind-address=0.0.0.0 --secure-port=6443 \
  --etcd-servers=https://127.0.0.1:2379 --etcd-cafile="$pki/etcd-ca.crt" --etcd-certfile="$pki/etcd-client.crt" --etcd-keyfile="$pki/etcd-client.key" \
  --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
  --kubelet-certificate-authority="$pki/ca.crt" --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
  --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
  --kubelet-preferred-address-types=InternalIP --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
  --service-cluster-ip-range="$services" --allow-privileged=true --profiling=false
runtime_start 1
say "containerd, etcd, kube-apiserver and kubelet of n1 started"
for n in $(seq 2 "$nodes"); do node_start "$n"; runtime_start "$n"; say "node n$n started"; done

k() { "$bin/kubectl" --kubeconfig "$state/kubeconfig/admin" "$@"; }
wait_for() { # wait_for SECONDS WHAT COMMAND...
  local end=$(($(date +%s) + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    # the logs go away with a test's cluster
    [ "$(date +%s)" -lt "$end" ] || { echo "timed out: $what" >&2; tail -n 8 "$state"/log/*.log >&2; exit 1; }
    sleep 0.2
  done
  say "$what"
}
wait_for 90 "kube-apiserver ready" curl -fsS --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$api/readyz"
# with its usual 20 calls a second it takes 5 s to make the accounts of its controllers
daemon n1 kube-controller-manager "$bin/kube-controller-manager" --kubeconfig="$state/kubeconfig/controller-manager" \
  --authentication-kubeconfig="$state/kubeconfig/controller-manager" --authorization-kubeconfig="$state/kubeconfig/controller-manager" \
  --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
  --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" --use-service-account-credentials=true \
  --kube-api-qps=500 --kube-api-burst=500 \
  --cluster-cidr="$pods" --allocate-node-cidrs=false --leader-elect=false --bind-address=127.0.0.1 --profiling=false
daemon n1 kube-scheduler "$bin/kube-scheduler" --kubeconfig="$state/kubeconfig/scheduler" \
  --authentication-kubeconfig="$state/kubeconfig/scheduler" --authorization-kubeconfig="$state/kubeconfig/scheduler" \
  --leader-elect=false --bind-address=127.0.0.1 --profiling=false
for n in $(seq "$nodes"); do daemon "n$n" kube-proxy "$bin/kube-proxy" --config="$state/nodes/n$n/proxy.yaml"; done

# the apiserver's client certificate for kubelets (kubeadm's own group and binding)
cat >"$state/cluster.yaml" <<K
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kubeadm:cluster-admins}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "kubeadm:cluster-admins"}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{kind: ServiceAccount, name: coredns, namespace: kube-system}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        errors
        health
        ready
        kubernetes cluster.local in-addr.arpa ip6.arpa {
            pods insecure
            ttl 5
        }
        cache 5
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      serviceAccountName: coredns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      containers:
      - name: coredns
        image: localhost/tencrypt-test/coredns:1
        imagePullPolicy: Never
        args: [-conf, /etc/coredns/Corefile]
        ports: [{containerPort: 53, protocol: UDP, name: dns}, {containerPort: 53, protocol: TCP, name: dns-tcp}]
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
        livenessProbe: {httpGet: {path: /health, port: 8080}, initialDelaySeconds: 30}
        volumeMounts: [{name: config, mountPath: /etc/coredns, readOnly: true}]
      volumes:
      - {name: config, configMap: {name: coredns}}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  selector: {k8s-app: kube-dns}
  clusterIP: $dns
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
K
k apply -f "$state/cluster.yaml" >"$state/log/apply.log" || { cat "$state/log/apply.log" >&2; exit 1; }
for n in $(seq "$nodes"); do
  wait_for 90 "node n$n Ready" bash -c "'$bin/kubectl' --kubeconfig '$state/kubeconfig/admin' get node n$n -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}' | grep -qx True"
done
wait_for 90 "CoreDNS ready" k -n kube-system rollout status deployment/coredns --timeout=5s
touch "$state/complete"
echo "export KUBECONFIG=$state/kubeconfig/admin"
