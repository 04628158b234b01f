# Everything happens in .venv at the project's root; `make help` lists the targets.
# Needs make and Python 3.11 or newer with venv, nothing else.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)
BIN := .venv/bin
# A stamp is newer than everything that its installation depends on, so a second run has nothing to do.
INSTALLER := pyproject.toml tools/install_torch.py tools/pip_install.py
SOURCES := src tests benchmarks tools

.DEFAULT_GOAL := help
.PHONY: help demo test check format clean install

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "make %-8s %s\n", $$1, $$2 }'

demo: .venv/installed ## fetch the default models once, index the Python language reference, ask three questions
	@$(BIN)/rankrag model pull
	@$(BIN)/python tools/demo.py

test: .venv/installed-dev ## run the default tests: offline, no weights needed
	@$(BIN)/pytest --numprocesses 2 --dist loadfile

check: .venv/installed-dev ## format, lint and types checked, then the tests
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: .venv/installed-dev ## put the code in the house format and mend what the linter can
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

install: .venv/installed ## set up .venv with the command line: models on this machine, every kind of document

clean: ## remove .venv and everything else that make, the tests and the demo wrote
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo rankrag.index
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "found no Python 3.11 or newer with venv and ensurepip, wanted one:" \
		"install it (Debian: apt install python3-venv) or name it with make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "found $(PYTHON), wanted Python 3.11 or newer with venv and ensurepip: name another with" \
		"make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version): the first time takes a few minutes"
	@$(PYTHON) -m venv .venv

# `--group` needs pip 25.1; an environment made by Python 3.11 to 3.13 starts with an older one.
.venv/pip: .venv/bin/python
	@$(BIN)/python tools/pip_install.py "pip>=25.1"
	@touch $@

.venv/installed: .venv/pip $(INSTALLER)
	@$(BIN)/python tools/install_torch.py
	@$(BIN)/python tools/pip_install.py --editable ".[local,docs]"
	@touch $@

.venv/installed-dev: .venv/installed
	@$(BIN)/python tools/pip_install.py --editable ".[all]" --group dev --group clients
	@touch $@
