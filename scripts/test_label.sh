#!/usr/bin/env bash
# The tests that start a real MONAI Label server: the client is .venv, the server .venv-label.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_NUM_THREADS=1 MPLBACKEND=Agg
export GLIOMASEG_LABEL_ENVIRONMENT=$PWD/${VENV_LABEL:-.venv-label}
export PATH=$PWD/${VENV:-.venv}/bin:$PATH
exec timeout --kill-after=30 1500 "${VENV:-.venv}/bin/pytest" --no-header tests/label "$@"
