#!/bin/sh
# Prints the newest Python that Castiel runs on (3.13, 3.12, 3.11) on this machine: on PATH, or kept by pyenv or uv.
# `find_python.sh 11` looks for 3.11 alone.
set -u
works() { "$1" -c "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != ($2, $3))" >/dev/null 2>&1; }
# A pyenv shim on PATH fails for versions that are installed but not chosen: look behind it.
behind_shims=$(dirname "$(dirname "$(command -v python3 || echo /nowhere/bin/python3)")")
wanted=${1:-13 12 11}
for minor in $wanted; do
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
if [ $# -gt 0 ]; then
    echo "Python 3.$1 (with venv) was not found on this machine" >&2
else
    echo "Castiel needs Python 3.11, 3.12 or 3.13 (with venv); none was found. Give one: make PYTHON=/path/to/python" >&2
fi
exit 1
