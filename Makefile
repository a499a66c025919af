# Everything runs in .venv, which the first target makes. ARGS goes to the command: make test ARGS='-k chain'
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
BIN := .venv/bin
ARGS ?=
PIP_FLAGS ?= -qq
# The first of these that runs and is 3.11 or later; or say which one: make PYTHON=...
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

.PHONY: help demo test test-verl lint types check format hooks wheel smoke clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed ## Train the shipped model with GRPO and DS-GRPO, and compare them in a report
	@$(BIN)/unsharpen demo $(ARGS)

test: .venv/.installed ## Run the tests
	@$(BIN)/python -m pytest $(ARGS)

test-verl: .venv-verl/.installed ## Run the tests of the verl engine, in an environment of their own
	@env -u PYTHONPATH .venv-verl/bin/python -m pytest -c tests/verl/pytest.ini --rootdir tests/verl tests/verl $(ARGS)

lint: .venv/.installed ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/.installed ## Check the types of src, strictly
	@$(BIN)/mypy

check: lint types ## lint and types

format: .venv/.installed ## Apply the formatter and the safe fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

hooks: .venv/.installed ## Check style and types before every git commit
	@$(BIN)/pre-commit install

wheel: .venv/.installed ## Build the wheel, check what is in it, run it on the oldest core dependencies
	@bash scripts/ci_checks.sh wheel

smoke: .venv/.installed ## Run the commands of the first page, two steps each
	@bash scripts/ci_checks.sh smoke

clean: ## Remove the environment, builds and caches; keeps runs
	rm -rf .venv .venv-verl build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last: an interrupted installation is taken up again by the next call.
define REQUIRE_PYTHON
	@if [ -z '$(PYTHON)' ] || ! '$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
	  found=$$('$(PYTHON)' --version 2>&1 | head -n 1); \
	  [ -n '$(PYTHON)' ] || found=$$(python3 --version 2>/dev/null || echo none); \
	  echo "unsharpen needs Python 3.11 or later; found: $$found"; \
	  echo; echo "hint: install Python 3.11, or say which one: make PYTHON=python3.11 $(MAKECMDGOALS)"; \
	  exit 1; fi >&2
	@if ! '$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "unsharpen needs Python's venv module; $(PYTHON) has none"; \
	  echo; echo "hint: on Debian and Ubuntu, install the package python3-venv"; \
	  exit 1; fi >&2
endef

.venv/.installed: pyproject.toml constraints.txt
	$(REQUIRE_PYTHON)
	@echo "Setting up .venv with $$('$(PYTHON)' --version): about 90 packages, a few minutes, once."
	@echo "  (make PIP_FLAGS= shows what pip is doing)"
	@rm -f $@
	@'$(PYTHON)' -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input $(PIP_FLAGS) -c constraints.txt -e '.[all,dev]'
	@touch $@

# torch first, with what its build needs; the rest as pinned, since verl's own list asks for more than it needs here.
.venv-verl/.installed: pyproject.toml constraints-verl.txt
	$(REQUIRE_PYTHON)
	@echo "Setting up .venv-verl with $$('$(PYTHON)' --version): about 120 packages, 1.8 GB, a few minutes, once."
	@rm -f $@
	@'$(PYTHON)' -m venv .venv-verl
	@.venv-verl/bin/python -m pip install --disable-pip-version-check --no-input $(PIP_FLAGS) \
	  -c constraints-verl.txt torch
	@.venv-verl/bin/python -m pip install --disable-pip-version-check --no-input $(PIP_FLAGS) --no-deps \
	  -r constraints-verl.txt
	@.venv-verl/bin/python -m pip install --disable-pip-version-check --no-input $(PIP_FLAGS) --no-deps \
	  --no-build-isolation -e .
	@touch $@
