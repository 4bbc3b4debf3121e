# The words of the project, the same for people and for CI. Each stands in scripts/ as well.
# PYTHON=/path/to/python   the interpreter of a new environment (3.10, 3.11 or 3.12)
# VENV=.venv               where the environment is
# VENV_LABEL=.venv-label   where that of MONAI Label is
# WORKERS=2                how many test processes

VENV ?= .venv
WORKERS ?= 2
OUTPUT ?= runs/demo
VENV_LABEL ?= .venv-label
PROJECT ?= runs/label
export VENV VENV_LABEL WORKERS
ifdef PYTHON
export PYTHON
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-label demo label check test test-label test-page test-wheel test-container bench clean

help: ## Show these words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv ready: tested versions, this project, tools (about 8 GB)
	@scripts/setup.sh

demo: setup ## Train on made-up patients and open a report, without any data (OUTPUT=runs/demo)
	@"$(VENV)/bin/gliomaseg" demo --output "$(OUTPUT)"

setup-label: ## Make .venv-label ready: MONAI Label, which needs Python 3.11 (1 GB beside .venv)
	@scripts/setup_label.sh

label: setup ## Serve STUDIES=DIR to 3D Slicer through MONAI Label (MODEL=runs/first, PROJECT=runs/label)
	@test -n "$(STUDIES)" || { echo "Name the studies: make label STUDIES=DIR" >&2; exit 2; }
	@$(VENV)/bin/gliomaseg label --studies "$(STUDIES)" $(if $(MODEL),--model "$(MODEL)") --output "$(PROJECT)"

check: setup ## Format, lint, complexity, types, import directions, doc examples
	@scripts/check.sh

test: setup ## Every test, warnings as errors, 90 % of the lines covered
	@scripts/test.sh

test-label: setup setup-label ## Start a real MONAI Label server and check its answers (Python 3.11)
	@scripts/test_label.sh

test-page: setup ## Click through the page of `gliomaseg serve` in Chromium
	@scripts/test_page.sh

test-wheel: setup ## Build the wheel and run the tests against it, outside the tree
	@scripts/test_wheel.sh

test-container: ## Build the image of Dockerfile and use it (ENGINE=podman; about 10 GB)
	@scripts/test_container.sh

bench: setup ## Measure speed and memory on this machine
	@if [ -f benchmarks/__main__.py ]; then $(VENV)/bin/python -m benchmarks; \
	else echo "There are no benchmarks yet: benchmarks/__main__.py is missing."; fi

clean: ## Remove what building and testing left behind; keeps .venv and runs/
	@rm -rf build dist *.egg-info htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +
