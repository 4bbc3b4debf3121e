#!/usr/bin/env bash
# Make .venv-label ready: MONAI Label in the tested versions, and this project in editable form.
# Does nothing when it is ready already. PYTHON_LABEL names the interpreter, VENV_LABEL the folder.
# Ends with 2 and one sentence where it cannot be made.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV_LABEL:-.venv-label}
stamp=$venv/.ready

usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON_LABEL:-python3.11 ${PYTHON:-} python3 python}; do
        if usable "$name"; then
            echo "$name"
            return
        fi
    done
    {
        echo "MONAI Label needs Python 3.11 with its venv module, found none under: ${PYTHON_LABEL:-python3.11, python3, python}."
        echo "Install it beside the others and name it: PYTHON_LABEL=/path/to/python3.11 make label STUDIES=DIR"
    } >&2
    return 2
}

wanted=$(cat constraints-label.txt pyproject.toml setup.py | cksum)
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    exit 0
fi

if [[ ! -x $venv/bin/python ]]; then
    python=$(find_python) || exit 2
    if [[ -f ${VENV:-.venv}/.ready ]]; then room=1; else room=8; fi
    scripts/need_room.sh "$venv" "$room" VENV_LABEL
    echo "Setting up $venv with $("$python" --version); this takes 1 GB of disk beside a .venv that is ready, and 8 GB, 3 of them fetched, without one."
    "$python" -m venv "$venv"
else
    echo "Bringing $venv up to date."
fi

# torch, CUDA and ITK are 7 GB; where .venv has the same ones, they are linked in place of copied.
"$venv/bin/python" scripts/share_packages.py "${VENV:-.venv}" constraints-label.txt || echo "Taking all of them from the registry."

quiet=--quiet
if [[ -t 1 ]]; then quiet=--progress-bar=on; fi
pip=("$venv/bin/python" -m pip install "$quiet" --disable-pip-version-check --no-deps)
if ! { "${pip[@]}" -r constraints-label.txt && "${pip[@]}" -e .; }; then
    echo "The packages of MONAI Label could not be fetched; see the lines above, look at the connection, and try again." >&2
    exit 2
fi
echo "$wanted" >"$stamp"
echo "$venv is ready."
