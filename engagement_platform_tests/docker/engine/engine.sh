#!/bin/sh
# Prints a folder with Docker's engine, compose and buildx (root/) and a small Debian (base/), made from packages when it
# is not there yet. Nothing is installed. Prints nothing where that cannot be: it needs root, on Debian.
#
# The engine is Debian 13's; what is linked with the C library is of this machine's own release.
set -eu
of_debian_13="docker.io docker-cli docker-compose docker-buildx containerd tini debootstrap"
of_this="runc iptables libxtables12 libip4tc2 libip6tc2 libmnl0 libnetfilter-conntrack3 libnfnetlink0 libnftnl11"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/engagement-platform/docker-engine-26.1.5"
if [ ! -e "$folder/complete" ]; then
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || exit 0
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -n "$mirror" ] && [ -e "$keys" ] || exit 0
    echo "Fetching Docker's engine and a small Debian, which takes two minutes the first time." >&2

    rm -rf "$folder"
    mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/packages" "$folder/root"
    own=$(. /etc/os-release && echo "$VERSION_CODENAME")
    printf "deb [signed-by=$keys] $mirror %s main\n" trixie "$own" | sort -u > "$folder/sources.list"
    apt() {
        apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
            -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o APT::Sandbox::User=root "$@"
    }
    apt update >&2
    (cd "$folder/packages" && apt download \
        $(printf '%s/trixie ' $of_debian_13) $(printf "%s/$own " $of_this)) >&2
    for package in "$folder"/packages/*.deb; do
        dpkg-deb --extract "$package" "$folder/root"
    done
    # The engine writes rules into the networks of containers, by which these find each other's names.
    libraries="$folder/root/usr/lib/$(uname -m)-linux-gnu"
    for name in iptables ip6tables; do
        cat > "$folder/root/usr/sbin/$name" << END
#!/bin/sh
export LD_LIBRARY_PATH=$libraries XTABLES_LIBDIR=$libraries/xtables
exec $folder/root/usr/sbin/xtables-nft-multi $name "\$@"
END
        chmod +x "$folder/root/usr/sbin/$name"
    done
    # What the image of Python has beside Python, and the libraries of its modules.
    DEBOOTSTRAP_DIR="$folder/root/usr/share/debootstrap" "$folder/root/usr/sbin/debootstrap" --variant=minbase \
        --include=ca-certificates,netbase,tzdata,libbz2-1.0,libffi8,liblzma5,libncursesw6,libreadline8t64,libsqlite3-0,libssl3t64,libuuid1,zlib1g \
        trixie "$folder/base" "$mirror" > "$folder/debootstrap.log" || { tail -n 5 "$folder/debootstrap.log" >&2; exit 1; }
    rm -rf "$folder/packages" "$folder/lists" "$folder/archives" "$folder"/*.bin "$folder"/base/var/cache/apt/archives/*.deb
    touch "$folder/complete"
fi
echo "$folder"
