#!/usr/bin/env bash
# Build the sdist, the wheel from it, and run a copy of the tests against the installed wheel.
#
# The copy of tests and documents stands outside the tree, so that no source file can stand in for one
# missing in the wheel. The fresh environment holds the wheel alone and borrows the other packages of .venv
# through a path file; path files inside a borrowed folder are not read, so the editable install of .venv
# stays out of it.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(cd "${VENV:-.venv}" && pwd)/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 MPLBACKEND=Agg

echo "test-wheel: build"
"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; exit 1; }

echo "test-wheel: install $(cd "$work/dist" && echo *.whl)"
"$python" -m venv --without-pip "$work/venv"
"$python" -m pip --disable-pip-version-check --python "$work/venv/bin/python" \
    install --quiet --no-deps --no-index "$work"/dist/*.whl
site() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
site "$python" >"$(site "$work/venv/bin/python")/borrowed.pth"

mkdir "$work/copy"
cp -R tests docs README.md pyproject.toml "$work/copy/"
cd "$work/copy"
"$work/venv/bin/python" - "$work/venv" <<'EOF'
import importlib.util
import sys

found = importlib.util.find_spec("gliomaseg.workflows").origin
if not found.startswith(sys.argv[1]):
    sys.exit(f"Expected gliomaseg from the wheel under {sys.argv[1]}, found {found}.")
EOF

echo "test-wheel: tests"
"$work/venv/bin/python" -m pytest --no-header -n "${WORKERS:-2}" "$@"
