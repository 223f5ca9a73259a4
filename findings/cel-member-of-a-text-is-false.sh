#!/usr/bin/env bash
# kube-cel 0.8.0 (crates.io) with the cel crate that it brings, 0.13.0: selecting a member of a value
# that has no members gives false, and no error.
#
# What one would have sworn: `self.mode.strict` where `self.mode` is a text cannot be evaluated. A
# kube-apiserver refuses the definition with such a rule ("type 'string' does not support field
# selection"), and with an untyped value the evaluation fails.
#
# What happens: the crate's validator of `x-kubernetes-validations` reads the member as `false`. A
# rule that asks for the absence of something, `!self.mode.strict`, holds for every object; the
# same rule with a member that a map lacks is reported as an error.
#
# Why it matters to those who build node services: their custom resources are checked with this crate
# before they reach a cluster (in CI, in a controller's own tests). A rule with a member too many
# passes there with every object, and is refused by the cluster.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
kube-cel = { version = "=0.8.0", features = ["validation"] }
cel = "=0.13.0"
serde_json = "1"
TOML
cat >"$dir/src/main.rs" <<'RUST'
use kube_cel::Validator;
use serde_json::json;

fn main() {
    let object = json!({"mode": "fast", "limits": {"cpu": 1}});
    for rule in ["!self.mode.strict", "self.mode.strict == false", "self.limits.memory == 1"] {
        let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
            "mode": {"type": "string"},
            "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
        }});
        let verdict = match Validator::new().validate(&schema, &object, None) {
            Ok(()) => "holds".to_owned(),
            Err(errors) => errors.to_string().lines().last().unwrap_or_default().trim().to_owned(),
        };
        println!("{rule}: {verdict}");
    }
}
RUST
CARGO_PROFILE_DEV_DEBUG=0 cargo run -q --manifest-path "$dir/Cargo.toml" >"$dir/seen"
cat "$dir/seen"

grep -qx '!self.mode.strict: holds' "$dir/seen" || { echo "a member of a text is no longer false"; exit 1; }
grep -qx 'self.mode.strict == false: holds' "$dir/seen" || { echo "a member of a text is no longer false"; exit 1; }
grep -q 'self.limits.memory == 1: .*No such key' "$dir/seen" || { echo "an absent member is told in another way"; exit 1; }
echo "as described: a member of a text is false, a member that a map lacks is an error"
