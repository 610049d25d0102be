#!/bin/sh
# Prints the folder with the programs of a cluster, after making what is missing there: those of Kubernetes, helm and
# CoreDNS with Go, some twenty minutes the first time; etcd, containerd, runc and the plugins of the network from Debian's
# packages, downloaded and unpacked. Nothing is installed on the machine. Prints nothing where that cannot be.
set -eu
kubernetes=1.34.4 helm=v3.22.0 coredns=v1.12.4
folder="${XDG_CACHE_HOME:-$HOME/.cache}/engagement-platform/kubernetes"
for needed in go apt-get dpkg gcc nsenter unshare ip openssl; do
    command -v "$needed" >/dev/null || { echo "There is no $needed, so there is no cluster." >&2; exit 0; }
done
mkdir -p "$folder/bin" "$folder/debs" "$folder/root" "$folder/build"

if [ ! -x "$folder/bin/etcd" ]; then
    (cd "$folder/debs" && apt-get download -qq etcd-server containernetworking-plugins containerd runc >&2 \
        && for each in *.deb; do dpkg -x "$each" "$folder/root"; done)
    cp "$folder"/root/usr/bin/etcd "$folder"/root/usr/bin/containerd* "$folder"/root/usr/bin/ctr \
        "$folder"/root/usr/sbin/runc "$folder/bin"
fi

# Of which not every machine has the one that the services' addresses are made with.
libraries="libip4tc2 libip6tc2 libxtables12 libmnl0 libnftnl11 libnetfilter-conntrack3 libnfnetlink0"
if ! command -v iptables >/dev/null && [ ! -x "$folder/bin/iptables" ]; then
    # shellcheck disable=SC2086
    (cd "$folder/debs" && apt-get download -qq iptables $libraries >&2 \
        && for each in iptables_* lib*; do dpkg -x "$each" "$folder/root"; done)
    for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        cat > "$folder/bin/$name" <<END
#!/bin/sh
export LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu
export XTABLES_LIBDIR=\$LD_LIBRARY_PATH/xtables
exec $folder/root/usr/sbin/xtables-legacy-multi $name "\$@"
END
        chmod +x "$folder/bin/$name"
    done
fi

# built NAME...: says whether all are there.
built() {
    for name in "$@"; do [ -x "$folder/bin/$name" ] || return 1; done
}

if ! built helm; then
    echo "Building helm $helm, which takes some minutes the first time." >&2
    GOBIN="$folder/bin" nice -n 19 go install "helm.sh/helm/v3/cmd/helm@$helm" >&2
fi
programs="kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl kube-proxy"
# shellcheck disable=SC2086
if ! built $programs; then
    echo "Building Kubernetes $kubernetes, which takes ten minutes and more the first time." >&2
    cd "$folder/build"
    export GOFLAGS=-mod=mod
    printf 'module kubebuild\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes v%s\n' "$kubernetes" > go.mod
    printf '//go:build tools\n\npackage tools\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver"\n' > tools.go
    # Its own modules have no versions: the file that says where they are is the one of the release.
    described=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
    sed -n "s#^\t\(k8s.io/[a-z-]*\) v0.0.0\$#replace \1 => \1 v0.${kubernetes#1.}#p" "$described" >> go.mod
    # Else it says that it is 0.0.0, for which no chart is.
    version="k8s.io/component-base/version.gitVersion=v$kubernetes"
    for name in $programs; do
        nice -n 19 go build -ldflags "-X $version" -o "$folder/bin/" "k8s.io/kubernetes/cmd/$name" >&2
    done
    unset GOFLAGS
fi
if ! built coredns; then
    echo "Building CoreDNS $coredns, which takes some minutes the first time." >&2
    GOBIN="$folder/bin" nice -n 19 go install "github.com/coredns/coredns@$coredns" >&2
fi
echo "$folder"
