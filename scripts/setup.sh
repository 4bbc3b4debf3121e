#!/usr/bin/env bash
# Make .venv ready: the tested versions, this project in editable form, and the tools of development.
# Does nothing when it is ready already. PYTHON names the interpreter, VENV the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
stamp=$venv/.ready

usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.10 python3 python}; do
        if usable "$name"; then
            echo "$name"
            return
        fi
    done
    {
        echo "Expected Python 3.10, 3.11 or 3.12 with its venv module, found none under: ${PYTHON:-python3.11, python3.12, python3.10, python3, python}."
        echo "On Debian or Ubuntu 'apt install python3-venv' brings it; or name one: make setup PYTHON=/path/to/python"
    } >&2
    return 1
}

wanted=$(cat constraints.txt pyproject.toml setup.py | cksum)
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    exit 0
fi

if [[ ! -x $venv/bin/python ]]; then
    python=$(find_python)
    scripts/need_room.sh "$venv" 8 VENV
    echo "Setting up $venv with $("$python" --version); the first time this fetches about 3 GB and needs 8 GB of disk."
    "$python" -m venv "$venv"
else
    echo "Bringing $venv up to date."
fi

quiet=--quiet
if [[ -t 1 ]]; then quiet=--progress-bar=on; fi
"$venv/bin/python" -m pip install "$quiet" --disable-pip-version-check -c constraints.txt -e '.[dev]'
echo "$wanted" >"$stamp"
echo "$venv is ready."
