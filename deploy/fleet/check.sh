#!/usr/bin/env bash
# Checks the files of this folder: both configurations of the server by the server itself, the compose file against the schema of
# compose, and the manifests against that of Kubernetes. `deploy/fleet/check.sh`, from anywhere; it needs no cluster and no daemon.
# It needs `nats-server` and `openssl` on the path, and python3 with venv, into which the checkers are installed once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

check_jsonschema_version=0.39.0
kubernetes_validate_version=1.37.0
yamllint_version=1.38.0
target="${CARGO_TARGET_DIR:-$PWD/target}"
home="$target/tools/manifests-$check_jsonschema_version-$kubernetes_validate_version-$yamllint_version"
if [ ! -e "$home/complete" ]; then
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
        "check-jsonschema==$check_jsonschema_version" "kubernetes-validate==$kubernetes_validate_version" \
        "yamllint==$yamllint_version"
    touch "$home/complete"
fi

cd deploy/fleet
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl" || { cat "$work/openssl" >&2; exit 1; }
# Any two keys.
export COORDINATOR_NKEY=UCGC6HOVJBQXFDJZISR6DCBFAZDRUEK2IC5GDYAAI6RW5B4BHDWRUXZF
export WORKER_NKEY=UCXK5H6RLHWXLJ2TNH6LUDCDH54REPLKRPAVQGZF4TY6SW5NLEP274L7
export TLS_CERT="$work/cert.pem" TLS_KEY="$work/key.pem" TLS_CA="$work/cert.pem"
nats-server -t -c nats.conf
nats-server -t -c nats-tls.conf

"$home/bin/yamllint" --strict -d '{extends: default, rules: {line-length: {max: 140}, document-start: disable}}' .
"$home/bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
"$home/bin/kubernetes-validate" --strict kubernetes/*.yaml
for file in $(sed -n 's/^ *- \(kubernetes\/.*\|.*\.conf\)$/\1/p' kustomization.yaml); do
    [ -e "$file" ] || { echo "kustomization.yaml names $file, which is not there" >&2; exit 1; }
done
