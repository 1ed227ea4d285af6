#!/usr/bin/env bash
# Checks what others wrote against what is here: promptopt-dspy and the chat formats against the real DSPy, agents against
# real MCP servers, traces against a real receiver, and programs on the clients of others behind the gateway.
# `tests/interop/run.sh`, from anywhere. All go into virtual environments in the target folder, once, which needs python3 with
# venv; what comes from npm is left out where there is no npm. Prints what was checked,
# and exits with another status than 0 on any difference.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dspy_version=3.4.1
mcp_version=2.3.0
servers_version=2026.10.19
everything_version=2026.8.31
mlflow_version=3.17.2
conventions_version=0.66b2
openai_version=3.57.0
anthropic_version=2.14.0
langgraph_version=1.2.24
langchain_openai_version=1.7.4
jsonschema_version=4.26.0
openai_node_version=7.59.0
target="${CARGO_TARGET_DIR:-$PWD/target}"
home="$target/interop"
environment="$home/dspy-$dspy_version"
servers="$home/mcp-$mcp_version-$servers_version"
everything="$home/everything-$everything_version"
receiver="$home/mlflow-$mlflow_version-$conventions_version"
clients="$home/clients-$openai_version-$anthropic_version-$langgraph_version-$langchain_openai_version-$jsonschema_version"
openai_node="$home/openai-$openai_node_version"

# install FOLDER PACKAGE...: a virtual environment with packages. The mark is written last, so that an installation that was
# cut short is done again.
install() {
    local folder="$1"
    shift
    if [ -e "$folder/complete" ]; then
        return
    fi
    rm -rf "$folder"
    mkdir -p "$home"
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    touch "$folder/complete"
}

install "$environment" "dspy==$dspy_version"
install "$servers" "mcp==$mcp_version" "mcp-server-time==$servers_version" "mcp-server-git==$servers_version"
install "$receiver" "mlflow==$mlflow_version" "opentelemetry-semantic-conventions==$conventions_version"
install "$clients" "openai==$openai_version" "anthropic==$anthropic_version" "langgraph==$langgraph_version" \
    "langchain-openai==$langchain_openai_version" "jsonschema==$jsonschema_version"

# install_node FOLDER PACKAGE: the same from npm.
install_node() {
    if [ ! -e "$1/complete" ]; then
        rm -rf "$1"
        npm install --silent --no-fund --no-audit --prefix "$1" "$2"
        touch "$1/complete"
    fi
}

node_server=() node_client=()
if command -v npm >/dev/null; then
    install_node "$everything" "@modelcontextprotocol/server-everything@$everything_version"
    node_server=("$everything/node_modules/.bin/mcp-server-everything")
    install_node "$openai_node" "openai@$openai_node_version"
    node_client=("$openai_node")
fi

cargo build --locked --package promptopt-dspy --examples
cargo build --locked --package promptopt-cli
cargo build --locked --package promptopt-otel --example service
"$servers/bin/python" tests/interop/check_mcp.py "$target/debug/promptopt" "$home/mcp-work" "$servers/bin" \
    "${node_server[@]}"

"$receiver/bin/python" tests/interop/check_traces.py "$target/debug/promptopt" "$target/debug/examples/service" \
    "$home/traces-work" "$receiver/bin"

"$clients/bin/python" tests/interop/check_apps.py "$target/debug/promptopt" "$home/apps-work" "$clients/bin/python" \
    "$environment/bin/python" "${node_client[@]}"

# DSPy keeps a cache of replies, which is of no use here and does not belong in a home folder.
export DSPY_CACHEDIR="$home/cache" TQDM_DISABLE=1
exec "$environment/bin/python" tests/interop/check.py "$target/debug/examples" "$home"
