#!/usr/bin/env bash
# Checks promptopt-dspy and the chat formats against the real DSPy: `tests/interop/run.sh`, from
# anywhere. DSPy goes into a virtual environment in the target folder, once; it needs python3 with
# venv. Prints what was checked, and exits with another status than 0 on any difference.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dspy_version=3.4.1
target="${CARGO_TARGET_DIR:-$PWD/target}"
home="$target/interop"
environment="$home/dspy-$dspy_version"

# The mark is written last, so that an installation that was cut short is done again.
if [ ! -e "$environment/complete" ]; then
    rm -rf "$environment"
    mkdir -p "$home"
    python3 -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "dspy==$dspy_version"
    touch "$environment/complete"
fi

cargo build --locked --package promptopt-dspy --examples

# DSPy keeps a cache of replies, which is of no use here and does not belong in a home folder.
export DSPY_CACHEDIR="$home/cache" TQDM_DISABLE=1
exec "$environment/bin/python" tests/interop/check.py "$target/debug/examples" "$home"
