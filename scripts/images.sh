#!/usr/bin/env bash
# Builds the container images of demo, tests and examples without Docker and without a registry: layers are
# plain tars under target/images (kept; a second run only writes the archive), the result is an OCI archive.
#
#   scripts/images.sh --socket SOCK [NAME...]   import into the containerd at SOCK, namespace k8s.io
#   scripts/images.sh --out FILE [NAME...]      write one OCI archive with these images
#   scripts/images.sh --list                    the sets and recipes
#
# NAME is an image name whose last part has a recipe (prom/node-exporter:v1.8.0), NAME=RECIPE for any other
# name, or one of the sets base, examples, mission. Without a name: base and examples.
set -euo pipefail
shopt -s inherit_errexit

top=$(cd "$(dirname "$0")/.." && pwd)
cache=$top/target/images
blobs=$cache/blobs
version=1 # of the layers' layout; raise it to rebuild them all

say() { printf 'images: %s\n' "$*" >&2; }
die() { printf 'images: error: %s\n' "$*" >&2; exit 1; }
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

set_base="localhost/pause:1 localhost/everynode/busybox:1 localhost/everynode/testtool:1
    localhost/everynode/testtool:2"
set_examples="docker.io/prom/node-exporter:v1.8.0 localhost/everynode/testtool:1
    localhost/everynode/network-plugin:1"
# Names that the mission's manifests use. Each stand-in does in miniature what the real one is for.
set_mission="fluent/fluent-bit:2.2 fluentd:v1.16 prom/node-exporter:v1.7.0 prom/node-exporter:v1.8.0
    myregistry/cni-plugin:v1.0.0 myregistry/csi-driver:v1.0.0
    registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.9.2
    registry.k8s.io/sig-storage/livenessprobe:v2.11.0 falcosecurity/falco:0.37.0
    nvidia/dcgm-exporter:3.3.0-3.2.0-ubuntu22.04 myregistry/control-plane-monitor:v1.0.0"

# RECIPE -> layers | entrypoint (JSON) | default arguments (JSON)
recipe() {
    case $1 in
        pause) echo 'pause|["/pause"]|[]' ;;
        busybox) echo 'tools|[]|["/bin/sh"]' ;;
        testtool) echo 'tools|["/testtool"]|["sleep"]' ;;
        node-exporter) echo 'exporter|["/bin/node_exporter"]|[]' ;;
        fluent-bit) echo 'tools|["/testtool","log-collector","/var/log/containers","--port","2020","--api","https://kubernetes.default.svc:443"]|[]' ;;
        fluentd) echo 'tools|["/testtool","log-collector","/var/log/containers"]|[]' ;;
        network-plugin | cni-plugin) echo 'tools cni|["/cni-agent"]|[]' ;;
        csi-driver) echo 'tools|["/testtool","csi-driver"]|[]' ;;
        csi-node-driver-registrar) echo 'tools|["/testtool","csi-registrar"]|[]' ;;
        livenessprobe) echo 'tools|["/testtool","csi-liveness"]|[]' ;;
        falco) echo 'tools|["/testtool","sensor"]|[]' ;;
        dcgm-exporter) echo 'tools|["/testtool","http","--port","9400","--body","DCGM_FI_DEV_GPU_TEMP 0"]|[]' ;;
        everynode) echo 'everynode|["/everynode"]|["controller"]' ;;
        control-plane-monitor) echo 'tools|["/testtool","http"]|[]' ;;
        *) return 1 ;;
    esac
}
recipes="pause busybox testtool node-exporter fluent-bit fluentd network-plugin cni-plugin csi-driver
    csi-node-driver-registrar livenessprobe falco dcgm-exporter control-plane-monitor everynode"

# --- files from Debian, without installing anything ---------------------------------------------------------

deb_file() { # PACKAGE PATH: prints where a copy of PATH from that package is
    local dir=$cache/deb/$1
    if [ ! -e "$dir/$2" ]; then
        command -v apt-get >/dev/null || die "no apt-get to fetch Debian's $1 with"
        say "fetching Debian's package $1"
        rm -rf "$dir" && mkdir -p "$dir"
        fetch_deb "$1" "$dir" || { apt-get -qq update && fetch_deb "$1" "$dir"; } ||
            die "apt-get download $1 failed: $(tail -n 1 "$cache/fetch.log")"
        dpkg-deb -x "$dir"/*.deb "$dir"
        [ -e "$dir/$2" ] || die "Debian's $1 has no $2"
    fi
    echo "$dir/$2"
}
fetch_deb() { (cd "$2" && apt-get -qq -o APT::Sandbox::User=root download "$1" >"$cache/fetch.log" 2>&1); }

static_busybox() {
    local found
    if found=$(type -P busybox) && ! ldd "$found" >/dev/null 2>&1; then
        echo "$found"
    else
        deb_file busybox-static bin/busybox
    fi
}

with_libraries() { # BINARY ROOT: copies the shared libraries that BINARY is linked to
    local library
    ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        (cd / && cp -L --parents "${library#/}" "$2")
    done
}

# --- layers --------------------------------------------------------------------------------------------------

build_testtool() {
    command -v rustc >/dev/null || die "no rustc; see https://rustup.rs"
    mkdir -p "$top/target/testtool"
    say "building testtool (static)"
    rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols -C panic=abort \
        -o "$top/target/testtool/testtool" "$top/crates/testtool/src/main.rs"
}

layer_tools() { # shell, testtool, and openssl for TLS
    build_testtool
    mkdir -p "$1"/{bin,etc,tmp,var/log,usr/bin}
    cp "$top/target/testtool/testtool" "$1/testtool"
    cp "$(static_busybox)" "$1/bin/busybox"
    local applet
    # mount and umount are left out: what mounts here is testtool.
    for applet in sh cat cp date df echo env grep head hostname id ip ls mkdir mv nc netstat ps pwd readlink rm \
        sed sleep sort stat tail tee test touch true uname vi wc; do
        ln -s busybox "$1/bin/$applet"
    done
    cp -L "$(type -P openssl)" "$1/bin/openssl"
    with_libraries "$1/bin/openssl" "$1"
    printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
    chmod 1777 "$1/tmp"
}

layer_cni() { # the plugins that a network plugin brings along
    local plugin dir=/usr/lib/cni
    [ -x $dir/bridge ] || dir=/opt/cni/bin
    mkdir -p "$1/cni-plugins"
    for plugin in bridge host-local loopback portmap; do
        [ -x "$dir/$plugin" ] || die "no CNI plugin $plugin in $dir; run scripts/install-deps.sh"
        cp -L "$dir/$plugin" "$1/cni-plugins/"
    done
    printf '#!/bin/sh\nexec /testtool cni-agent "$@"\n' >"$1/cni-agent"
    chmod 755 "$1/cni-agent"
}

layer_exporter() {
    local binary
    binary=$(type -P prometheus-node-exporter) ||
        binary=$(deb_file prometheus-node-exporter usr/bin/prometheus-node-exporter)
    mkdir -p "$1"/{bin,etc,host}
    cp -L "$binary" "$1/bin/node_exporter"
    with_libraries "$binary" "$1"
    printf 'nobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
}

everynode_binary=${EVERYNODE_BIN:-$top/target/release/everynode}
layer_everynode() { # for `everynode controller` in a pod
    [ -x "$everynode_binary" ] || die "no $everynode_binary; run \"make build\" first, or set EVERYNODE_BIN"
    mkdir -p "$1"
    cp "$everynode_binary" "$1/everynode"
    with_libraries "$everynode_binary" "$1"
}

# The sandbox's own process holds the namespaces open and lets orphans be reaped (SIGCHLD ignored). On x86-64
# it is 151 bytes of ELF, written out here as everynode writes it; elsewhere testtool's pause does the same.
layer_pause() {
    mkdir -p "$1"
    if [ "$(uname -m)" != x86_64 ]; then
        build_testtool
        cp "$top/target/testtool/testtool" "$1/testtool"
        printf '#!/testtool pause\n' >"$1/pause"
    else
        local head=7f454c4602010100000000000000000002003e0001000000780040000000000040000000000000000000000000000000
        local segment=0000000040003800010000000000000001000000050000000000000000000000000040000000000000004000
        local rest=000000009700000000000000970000000000000000100000000000
        # rt_sigaction(SIGCHLD, SIG_IGN); then pause() for ever
        local code=0031c05050506a014889e631d26a08415a6a115f6a0d580f056a22580f05ebf9
        printf '%b' "$(echo "$head$segment$rest$code" | sed 's/../\\x&/g')" >"$1/pause"
    fi
    chmod 755 "$1/pause"
}

inputs() { # LAYER: what the layer is made from, as text; a change of it makes the layer again
    echo "$version $1 $(uname -m)"
    sha256sum <"$0"
    [ "$1" != everynode ] || stat -c '%n %s %Y' "$everynode_binary"
    [ "$1" != tools ] || cat "$top"/crates/testtool/src/*.rs | sha256sum
}

blob() { # FILE: stores it under its digest, prints the hex digest
    local digest
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    mv "$1" "$blobs/$digest"
    echo "$digest"
}

layer() { # LAYER: prints "DIGEST SIZE"
    local stamp file=$cache/layer-$1 root
    stamp=$(inputs "$1" | sha256sum | cut -d' ' -f1)
    if [ -e "$file" ] && [ "$(cut -d' ' -f1 "$file")" = "$stamp" ] && [ -e "$blobs/$(cut -d' ' -f2 "$file")" ]; then
        cut -d' ' -f2- "$file"
        return
    fi
    root=$cache/root-$1
    rm -rf "$root" && mkdir -p "$root"
    say "making layer $1"
    "layer_$1" "$root" >&2
    tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$cache/layer.tar" .
    rm -rf "$root"
    local size digest
    size=$(stat -c %s "$cache/layer.tar")
    digest=$(blob "$cache/layer.tar")
    echo "$stamp $digest $size" >"$file"
    echo "$digest $size"
}

# --- images --------------------------------------------------------------------------------------------------

full_name() { # as containerd stores it: with registry host and library/
    case $1 in
        localhost/* | *.*/* | *:*/*) echo "$1" ;;
        */*) echo "docker.io/$1" ;;
        *) echo "docker.io/library/$1" ;;
    esac
}

architecture() {
    case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac
}

image() { # NAME[=RECIPE]: stores config and manifest, prints the row of index.json
    local name=${1%%=*} kind=${1#*=} spec
    [ "$kind" != "$1" ] || { kind=${name##*/} && kind=${kind%%:*}; }
    spec=$(recipe "$kind") || die "no recipe $kind for image $name; try: $0 --list"
    name=$(full_name "$name")
    local layers entrypoint arguments ids="" descriptors="" row digest size
    IFS='|' read -r layers entrypoint arguments <<<"$spec"
    for row in $layers; do
        read -r digest size <<<"$(layer "$row")"
        [ -n "$size" ] || die "layer $row was not made"
        ids+="${ids:+,}\"sha256:$digest\""
        descriptors+="${descriptors:+,}{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:$digest\",\"size\":$size}"
    done
    # The name's tag in the environment makes two tags of one recipe two images, as a rollout needs.
    cat >"$cache/config.json" <<JSON
{"architecture":"$(architecture)","os":"linux","config":{"Entrypoint":$entrypoint,"Cmd":$arguments,"WorkingDir":"/","Env":["PATH=/bin:/usr/bin","IMAGE_VERSION=${name##*:}"]},"rootfs":{"type":"layers","diff_ids":[$ids]}}
JSON
    size=$(stat -c %s "$cache/config.json")
    digest=$(blob "$cache/config.json")
    cat >"$cache/manifest.json" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$digest","size":$size},"layers":[$descriptors]}
JSON
    size=$(stat -c %s "$cache/manifest.json")
    grep -o 'sha256:[0-9a-f]*' "$cache/manifest.json" | cut -d: -f2 >>"$cache/wanted"
    digest=$(blob "$cache/manifest.json")
    echo "$digest" >>"$cache/wanted"
    echo "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:$digest\",\"size\":$size,\"annotations\":{\"io.containerd.image.name\":\"$name\",\"org.opencontainers.image.ref.name\":\"${name##*:}\"}}"
}

archive() { # FILE NAME...: one OCI archive with these images
    local out=$1 rows="" row name
    shift
    : >"$cache/wanted"
    for name in "$@"; do
        row=$(image "$name")
        rows+="${rows:+,}$row"
    done
    echo '{"imageLayoutVersion":"1.0.0"}' >"$cache/oci-layout"
    echo "{\"schemaVersion\":2,\"manifests\":[$rows]}" >"$cache/index.json"
    sort -u "$cache/wanted" | sed 's|^|blobs/|' |
        tar -C "$cache" --transform 's|^blobs/|blobs/sha256/|' -cf "$out.part" oci-layout index.json -T -
    mv "$out.part" "$out"
}

expand() { # sets to names, without repetition
    local word
    for word in "$@"; do
        case $word in
            base) echo $set_base ;;
            examples) echo $set_examples ;;
            mission) echo $set_mission ;;
            *) echo "$word" ;;
        esac
    done | tr ' ' '\n' | awk '!seen[$0]++'
}

list() {
    local set word
    for set in base examples mission; do
        printf '%s:\n' "$set"
        for word in $(expand "$set"); do printf '  %s\n' "$word"; done
    done
    printf 'recipes: %s\n' "$(echo $recipes)"
}

socket="" out="" names=()
while [ $# -gt 0 ]; do
    case $1 in
        --socket) socket=${2:?--socket needs a path} && shift 2 ;;
        --out) out=${2:?--out needs a file} && shift 2 ;;
        --list) list && exit 0 ;;
        -*) die "no option $1; usage is at the top of $0" ;;
        *) names+=("$1") && shift ;;
    esac
done
[ -n "$socket$out" ] || die "say --socket SOCK or --out FILE; usage is at the top of $0"
[ ${#names[@]} -gt 0 ] || names=(base examples)
mapfile -t names < <(expand "${names[@]}")

mkdir -p "$blobs"
exec 9>"$cache/lock"
flock 9 # two tests may want images at the same time
archive "${out:-$cache/import.tar}" "${names[@]}"
[ -z "$out" ] || say "wrote $out with ${#names[@]} images"
if [ -n "$socket" ]; then
    [ -S "$socket" ] || die "no containerd socket at $socket; is everynode up?"
    ctr -a "$socket" -n k8s.io images import "${out:-$cache/import.tar}" >"$cache/import.log" 2>&1 ||
        die "import failed: $(tail -n 3 "$cache/import.log")"
    say "imported ${#names[@]} images into $socket"
fi
