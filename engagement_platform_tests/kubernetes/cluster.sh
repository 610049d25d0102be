#!/bin/bash
# A real cluster of two nodes on one machine, as root: etcd, API server, controllers, scheduler, DNS, and for each node
# containerd, kubelet and kube-proxy. All of it lives in two network namespaces and in mounts of its own: nothing leaves
# the machine, whose iptables, sysctls and container engines are left alone.
#
#     K=an empty folder  BIN=the programs  CNI=the plugins of the network  PAUSE=the archive of the pause image
#     cluster.sh up | node 2 | load ARCHIVE | kc ARGUMENTS... | revive N | down
#
# What is unusual is what a machine without CAP_SYS_RESOURCE and without dummy devices needs; see docs/kubernetes.md.
set -eu
P=$K/pki
C=$K/conf
BESIDE=/sys/fs/cgroup/cpu/kube/beside
export PATH=$BIN:$PATH

bg() { # NAME COMMAND...: starts it in a session of its own, its log and number under its name.
    local name=$1
    shift
    setsid "$@" > "$K/log/$name.log" 2>&1 < /dev/null &
    echo $! > "$K/run/$name.pid"
}

kc() { nsenter --net=/run/netns/kube1 "$BIN/kubectl" --kubeconfig="$C/admin.kubeconfig" "$@"; }

load() { # ARCHIVE NAME [OTHER NAME]: puts an image into all nodes, side by side.
    for socket in "$K"/run/node*.sock; do
        (ctr -a "$socket" -n k8s.io images import "$1" && { [ -z "${3:-}" ] || ctr -a "$socket" -n k8s.io images tag "$2" "$3"; }) &
    done
    wait
}

cert() { # NAME SUBJECT [ALTERNATIVE NAMES]: a key, a certificate and a kubeconfig.
    cd "$P"
    openssl req -new -newkey rsa:2048 -nodes -keyout "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
    printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth,serverAuth\n%s\n' \
        "${3:+subjectAltName=$3}" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.ext" \
        -out "$1.crt" 2>/dev/null
    cat > "$C/$1.kubeconfig" <<END
apiVersion: v1
kind: Config
clusters: [{name: k, cluster: {server: "https://10.244.255.1:6443", certificate-authority: $P/ca.crt}}]
users: [{name: u, user: {client-certificate: $P/$1.crt, client-key: $P/$1.key}}]
contexts: [{name: c, context: {cluster: k, user: u}}]
current-context: c
END
}

share() { # Puts this script and what it starts beside the pods, and gives all of them what ten programs would get.
    mkdir -p "$BESIDE"
    echo 10240 > "$BESIDE/../cpu.shares"
    echo 4096 > "$BESIDE/cpu.shares"
    echo $$ > "$BESIDE/cgroup.procs"
}

network() { # Two namespaces with a cable between them: there are no dummy devices.
    for i in 1 2; do ip netns add "kube$i"; ip -n "kube$i" link set lo up; done
    ip -n kube1 link add n1 type veth peer name n2 netns kube2
    for i in 1 2; do
        ip -n "kube$i" link set "n$i" up
        ip -n "kube$i" addr add "10.244.255.$i/24" dev "n$i"
        ip -n "kube$i" route add default via "10.244.255.$((3 - i))"
    done
    ip -n kube1 addr add 10.96.0.10/32 dev lo
}

up() {
    mkdir -p "$K"/{pki,conf,log,run,etcd}
    chmod 700 "$K/etcd"
    cd "$P"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=kube-ca -days 365 -out ca.crt 2>/dev/null
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
    cert apiserver /CN=kube-apiserver "DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:10.244.255.1"
    cert admin /O=system:masters/CN=admin
    cert kcm /CN=system:kube-controller-manager
    cert sched /CN=system:kube-scheduler
    cert proxy /CN=system:kube-proxy
    network
    local inside="nsenter --net=/run/netns/kube1"
    bg etcd $inside "$BIN/etcd" --data-dir "$K/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
    # Short tolerations, so that the pods of a lost node are replaced within half a minute.
    bg apiserver $inside "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --advertise-address=10.244.255.1 \
        --secure-port=6443 --service-cluster-ip-range=10.96.0.0/16 --client-ca-file="$P/ca.crt" \
        --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
        --kubelet-client-certificate="$P/admin.crt" --kubelet-client-key="$P/admin.key" \
        --kubelet-certificate-authority="$P/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --authorization-mode=Node,RBAC --allow-privileged=true \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$P/sa.pub" \
        --service-account-signing-key-file="$P/sa.key" \
        --default-not-ready-toleration-seconds=10 --default-unreachable-toleration-seconds=10
    for _ in $(seq 240); do [ "$(kc get --raw /readyz 2>/dev/null)" = ok ] && break; sleep 0.5; done
    local common="--leader-elect=false --bind-address=127.0.0.1"
    bg kcm $inside "$BIN/kube-controller-manager" $common --flex-volume-plugin-dir="$K/vp" --root-ca-file="$P/ca.crt" \
        --service-account-private-key-file="$P/sa.key" --use-service-account-credentials=true \
        --node-monitor-grace-period=15s $(kubeconfigs kcm)
    bg sched $inside "$BIN/kube-scheduler" $common $(kubeconfigs sched)
    # What is not the cluster's is no name at all: nothing leads out, and a refusal would be asked for again.
    cat > "$C/Corefile" <<END
cluster.local:53 {
    bind 10.96.0.10
    kubernetes cluster.local {
        kubeconfig $C/admin.kubeconfig c
    }
}
.:53 {
    bind 10.96.0.10
    template ANY ANY {
        rcode NXDOMAIN
    }
}
END
    bg coredns $inside "$BIN/coredns" -conf "$C/Corefile"
    node 1
    until kc get sa default >/dev/null 2>&1; do sleep 0.3; done
}

kubeconfigs() {
    for option in kubeconfig authentication-kubeconfig authorization-kubeconfig; do
        printf -- '--%s=%s ' "$option" "$C/$1.kubeconfig"
    done
}

node() { # NUMBER
    local i=$1 name=node$1 D=$K/node$1
    mkdir -p "$D"/{ctd,cni,varcni,kubelet,logs/containers,logs/pods,net}
    cert "$name" "/O=system:nodes/CN=system:node:$name" "DNS:$name,IP:10.244.255.$i"
    echo 1 > "$D/one"
    echo 10 > "$D/ten"
    rm -f "$D/held"
    # Mounts of its own, shared inside. Over the values of /proc/sys that a kubelet would write on the machine lie files.
    bg "$name-mnt" unshare --mount sh -c "
        mount --make-rshared /
        mount --bind $D/one /proc/sys/vm/overcommit_memory
        mount --bind $D/ten /proc/sys/kernel/panic
        mount --bind $D/one /proc/sys/kernel/panic_on_oops
        mkdir -p /var/log/containers /var/lib/cni /var/lib/kubelet
        mount --bind $D/kubelet /var/lib/kubelet
        mount --bind $D/logs/containers /var/log/containers
        mount --bind $D/varcni /var/lib/cni
        touch $D/held
        exec sleep infinity"
    until [ -e "$D/held" ]; do sleep 0.1; done
    cat > "$D/containerd.toml" <<END
version = 2
root = "$D/ctd/root"
state = "$D/ctd/state"
grpc = {address = "$K/run/$name.sock"}
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/local/pause:1"
  cni = {bin_dir = "$CNI", conf_dir = "$D/net"}
END
    cat > "$D/net/10-k8s.conflist" <<END
{"cniVersion":"0.4.0","name":"k8s","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,
 "ipam":{"type":"host-local","dataDir":"$D/cni","ranges":[[{"subnet":"10.244.$i.0/24"}]],
 "routes":[{"dst":"0.0.0.0/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}}]}
END
    echo "nameserver 10.96.0.10" > "$D/resolv.conf"
    for each in /sys/fs/cgroup/{cpu,cpuacct,cpuset,memory,devices,freezer,blkio,pids,systemd}; do
        mkdir -p "$each/kube/$name"
    done
    for file in cpus mems; do
        cat "/sys/fs/cgroup/cpuset/cpuset.$file" > "/sys/fs/cgroup/cpuset/kube/cpuset.$file"
        cat "/sys/fs/cgroup/cpuset/cpuset.$file" > "/sys/fs/cgroup/cpuset/kube/$name/cpuset.$file"
    done
    # A file that begins with a brace would be read as JSON.
    cat > "$D/kubelet.yaml" <<END
---
{apiVersion: kubelet.config.k8s.io/v1beta1, kind: KubeletConfiguration, cgroupDriver: cgroupfs, cgroupRoot: /kube/$name,
 failSwapOn: false, nodeLeaseDurationSeconds: 12, authentication: {anonymous: {enabled: false},
 webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}, authorization: {mode: Webhook}, tlsCertFile: $P/$name.crt,
 tlsPrivateKeyFile: $P/$name.key, containerRuntimeEndpoint: "unix://$K/run/$name.sock", clusterDomain: cluster.local,
 clusterDNS: [10.96.0.10], resolvConf: $D/resolv.conf, podLogsDir: $D/logs/pods, volumePluginDir: $D/kubelet/vp,
 imageGCHighThresholdPercent: 100,
 evictionHard: {memory.available: 200Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}}
END
    bg "$name-containerd" $(in_node "$i") "$BIN/containerd" --config "$D/containerd.toml"
    until ctr -a "$K/run/$name.sock" version >/dev/null 2>&1; do sleep 0.3; done
    ctr -a "$K/run/$name.sock" -n k8s.io images import "$PAUSE" >/dev/null
    revive "$i"
    bg "$name-proxy" $(in_node "$i") "$BIN/kube-proxy" --kubeconfig="$C/proxy.kubeconfig" --hostname-override="$name" \
        --cluster-cidr=10.244.0.0/16 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
        --conntrack-tcp-timeout-close-wait=0
    until kc wait --for=condition=Ready "node/$name" --timeout=60s >/dev/null 2>&1; do sleep 0.5; done
}

in_node() { # NUMBER: what puts a command into a node.
    echo "nsenter --net=/run/netns/kube$1 --mount=/proc/$(cat "$K/run/node$1-mnt.pid")/ns/mnt"
}

revive() { # NUMBER: starts the kubelet of a node.
    local name=node$1 D=$K/node$1
    bg "$name-kubelet" $(in_node "$1") "$BIN/kubelet" --config="$D/kubelet.yaml" --kubeconfig="$C/$name.kubeconfig" \
        --root-dir="$D/kubelet" --cert-dir="$D/kubelet/pki" --hostname-override="$name" --node-ip="10.244.255.$1"
}

down() { # Ends everything that `up` and `node` have started, pods first, and leaves nothing behind.
    kc delete deploy,sts,ds,rs,job,pod -A --all --grace-period=1 --timeout=20s >/dev/null 2>&1 || true
    for file in "$K"/run/*-kubelet.pid "$K"/run/*-proxy.pid; do kill "$(cat "$file")" 2>/dev/null || true; done
    sleep 1
    for socket in "$K"/run/node*.sock; do
        for task in $(ctr -a "$socket" -n k8s.io tasks ls -q); do
            ctr -a "$socket" -n k8s.io tasks kill -s SIGKILL "$task" 2>/dev/null || true
        done
    done
    sleep 1
    for file in "$K"/run/*.pid; do kill "$(cat "$file")" 2>/dev/null || true; done
    sleep 2
    for i in 1 2; do
        for pid in $(ip netns pids "kube$i" 2>/dev/null); do kill -9 "$pid" || true; done
        ip netns del "kube$i" 2>/dev/null || true
    done
    sleep 1
    for each in /sys/fs/cgroup/*/kube; do
        [ ! -d "$each" ] || find "$each" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    for netns in /run/netns/cni-*; do
        [ ! -e "$netns" ] || ip netns del "${netns##*/}" 2>/dev/null || rm -f "$netns"
    done
    rmdir /var/lib/cni /var/lib/kubelet /var/log/containers 2>/dev/null || true
    rm -rf "$K/run"
}

[ "$1" = down ] || share
"$@"
