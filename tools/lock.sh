#!/usr/bin/env bash
# Writes requirements/*.lock anew: exact versions with hashes, no addresses. Run it after changing a dependency.
# The lock for python3.9 functions needs a Python 3.9 on PATH: newer releases of its packages have dropped 3.9.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # compile PYTHON OUTPUT ARGUMENTS...
    local python=$1 output=$2
    shift 2
    # Not from the old file: its options and its versions must not survive by being there.
    rm -f "$output"
    CUSTOM_COMPILE_COMMAND=tools/lock.sh "$python" -m piptools compile --quiet --generate-hashes --allow-unsafe \
        --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
        --output-file "$output" "$@" >/dev/null
}

compile .venv/bin/python requirements/runtime.lock pyproject.toml
compile .venv/bin/python requirements/dev.lock --extra dev pyproject.toml

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3.9 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip --disable-pip-version-check --quiet install pip-tools
printf 'awslambdaric\nboto3\n' > "$scratch/function.in"
compile "$scratch/venv/bin/python" requirements/function-python3.9.lock "$scratch/function.in"
