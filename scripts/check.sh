#!/usr/bin/env bash
# Everything that is quick to say about a change: format, lint, types, import directions, doc examples.
# All steps run, so that one call shows all there is to mend; the status is 1 when any of them failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bin=${VENV:-.venv}/bin
export OMP_NUM_THREADS=1 MPLBACKEND=Agg
failed=()

step() {
    echo "check: $1"
    "${@:2}" || failed+=("$1")
}

"$bin/python" scripts/link_sources.py || exit 1
step "format" "$bin/ruff" format --check --quiet --output-format concise .
step "lint and complexity" "$bin/ruff" check --quiet --output-format concise .
step "types" "$bin/mypy" --no-error-summary
step "import directions" "$bin/pytest" --quiet --no-header tests/test_architecture.py
step "doc examples" "$bin/pytest" --quiet --no-header tests/test_docstrings.py

if ((${#failed[@]})); then
    printf 'check: FAILED in %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "check: all is well"
