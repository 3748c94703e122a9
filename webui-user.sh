#!/bin/sh
# Starts Gesso; the first start sets it up. Remove the "#" from a line below to use it.

# Flags for every start (for a list: ./webui-user.sh --help):
#export COMMANDLINE_ARGS="--medvram --listen"

# The Python that creates the environment (3.11 to 3.14):
#export PYTHON="python3.12"

# The folder of the environment; "-" installs into that Python itself:
#export VENV_DIR=".venv"

# A different build of torch from the one chosen for this machine, or a different place to get it from:
#export TORCH_COMMAND="pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126"
#export TORCH_INDEX_URL="https://download.pytorch.org/whl/cu126"

script=$(readlink -f -- "$0" 2>/dev/null || printf '%s\n' "$0")
here=$(dirname -- "$script")
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
if [ -z "${PYTHON:-}" ]; then
    for PYTHON in "${VENV_DIR:-$here/.venv}/bin/python" python3 python3.13 python3.12 python3.11 python3.14 python python3; do
        "$PYTHON" -c "$fits" >/dev/null 2>&1 && break
    done
fi
if ! "$PYTHON" -c "" >/dev/null 2>&1; then
    if command -v "$PYTHON" >/dev/null 2>&1; then found="$PYTHON does not run"; else found="there is no $PYTHON"; fi
    echo "Gesso needs Python 3.11 to 3.14, and $found. Install it from https://www.python.org/downloads/" >&2
    exit 1
fi
exec "$PYTHON" "$here/launch.py" "$@"
