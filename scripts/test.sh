#!/usr/bin/env bash
# The whole suite on two workers of one thread each, warnings as errors, at least 90 % of our lines covered.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_NUM_THREADS=1 MPLBACKEND=Agg
exec "${VENV:-.venv}/bin/pytest" --no-header -n "${WORKERS:-2}" --cov --cov-report=term "$@"
