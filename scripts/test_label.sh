#!/usr/bin/env bash
# The tests that start a real MONAI Label server: the client is .venv, the server .venv-label.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_NUM_THREADS=1 MPLBACKEND=Agg
absolute() { realpath --no-symlinks "$1"; } # a folder may be named either way
GLIOMASEG_LABEL_ENVIRONMENT=$(absolute "${VENV_LABEL:-.venv-label}")
export GLIOMASEG_LABEL_ENVIRONMENT
PATH=$(absolute "${VENV:-.venv}")/bin:$PATH
export PATH
exec timeout --kill-after=30 1500 "${VENV:-.venv}/bin/pytest" --no-header tests/label "$@"
