#!/usr/bin/env bash
# The tests that click through the page of `gliomaseg serve` in a real browser, Chromium.
# Where there is none, root on Debian or Ubuntu gets it from apt; anybody else is told, and nothing is tested.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${VENV:-.venv}/bin
export OMP_NUM_THREADS=1 MPLBACKEND=Agg

found() {
    [[ -n ${CHROMIUM:-} ]] && return
    local name
    for name in chromium chromium-browser google-chrome chrome; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

if ! found && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "Fetching Chromium."
    { timeout 240 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 240 apt-get install -y -qq --no-install-recommends chromium; } \
        >/dev/null 2>&1 || true
fi
if ! found; then
    echo "The page was not tested: there is no Chromium; install it, or name it by CHROMIUM=/path/to/chrome."
    exit 0
fi
"$bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[page]'
exec timeout --kill-after=30 900 "$bin/pytest" --no-header tests/page "$@"
