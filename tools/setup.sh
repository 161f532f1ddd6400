#!/usr/bin/env bash
# Makes .venv from the lock files. A second run with nothing changed only compares a hash.
set -euo pipefail
cd "$(dirname "$0")/.."

# The interpreter itself, not a version manager's shim: shims cost time at every start and may point elsewhere later.
find_python() {
    local name found
    for name in python3.11 python3.12 python3.13 python3.14 python3; do
        found=$("$name" -c 'if True:
            import ensurepip, os, sys, venv
            if sys.version_info < (3, 11): sys.exit(1)
            print(os.path.realpath(sys.executable))' 2>/dev/null) && [ -x "$found" ] && { echo "$found"; return; }
    done
    echo "Paddock needs Python 3.11 or newer with venv on PATH (on Debian and Ubuntu: apt install python3-venv)." >&2
    return 1
}

inputs=(requirements/*.lock pyproject.toml tools/setup.sh)
stamp=.venv/paddock-setup
wanted=$(pwd -P; sha256sum "${inputs[@]}")
if [ -x .venv/bin/paddock ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(find_python)
    echo "setup: .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"; }
pip install --require-hashes -r requirements/dev.lock
# The build backend warns at length about every editable install; pip shows its output when it fails.
PYTHONWARNINGS=ignore pip install --no-deps --no-build-isolation -e .

# Packages that functions find beside their code (boto3, the runtime client), for interpreters that cannot share ours.
# Without them these runtimes are refused at create, and `paddock runtimes` says why: no reason to fail here.
prepared=$(.venv/bin/paddock runtimes prepare) || echo "setup: run \`.venv/bin/paddock runtimes prepare\` again" >&2
grep -v 'nothing to prepare' <<< "$prepared" || true

printf '%s' "$wanted" > "$stamp"
echo "setup: .venv/bin/paddock is ready"
