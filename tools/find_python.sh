#!/bin/sh
# Prints the newest Python that Castiel runs on (3.13, 3.12, 3.11) on this machine: on PATH, or kept by pyenv or uv.
set -u
works() { "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != ($2, $3))" >/dev/null 2>&1; }
# A pyenv shim on PATH fails for versions that are installed but not chosen: look behind it.
behind_shims=$(dirname "$(dirname "$(command -v python3 || echo /nowhere/bin/python3)")")
for minor in 13 12 11; do
    for candidate in "python3.$minor" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.$minor.*/bin/python3.$minor \
        "$behind_shims"/versions/3.$minor.*/bin/python3.$minor \
        "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-3.$minor.*/bin/python3.$minor \
        python3 python; do
        if works "$candidate" 3 "$minor"; then
            command -v "$candidate"
            exit 0
        fi
    done
done
echo "Castiel needs Python 3.11, 3.12 or 3.13 (with venv); none was found. Give one: make PYTHON=/path/to/python" >&2
exit 1
