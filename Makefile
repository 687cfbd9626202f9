# Needs python3 (3.11 or newer), pip and make; everything else goes into $(VENV).
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# More than four processes cost more in importing torch than they win.
PYTEST_ARGS ?= -n logical --maxprocesses 4

BIN := $(VENV)/bin
# torch is installed first and alone, by its exact version. The range in pyproject.toml would let pip take the newest
# release, on Linux with several gigabytes of CUDA libraries; an exact version lets pip take the build that your
# index or local folder of wheels holds for it (the CPU build, where that is what you offer).
TORCH := $(shell grep '^torch==' constraints.txt)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train lab test test-browser test-docs docs check format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

train: $(VENV)/.installed ## train the default recipe; ARGS="mnist --steps 1000" for another
	$(BIN)/advnets train --evaluate $(ARGS)

lab: $(VENV)/.installed-lab ## open the lab over runs/ in the browser: http://127.0.0.1:7860; ARGS="--open" starts the browser
	$(BIN)/advnets lab $(ARGS)

test: $(VENV)/.installed-dev ## run the tests; PYTEST_ARGS="-x tests/test_objectives.py" for some of them
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-browser: $(VENV)/.installed-dev ## run the tests that need Chromium (and npm): what a person sees and clicks
	$(BIN)/python -m pytest -n 2 --dist loadfile -m browser tests/browser

docs: $(VENV)/.installed-docs ## build the documentation as a site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html, or to search too: $(BIN)/python -m http.server --directory site --bind 127.0.0.1"

test-docs: $(VENV)/.installed-dev ## build the site and run every block of its pages, at a tiny size
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m docs tests/pages

check: $(VENV)/.installed-dev ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## rewrite the source in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment, builds and caches; runs/ stays
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(TORCH)
	$(BIN)/pip install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-lab: $(VENV)/.installed
	$(BIN)/pip install -c constraints.txt -e ".[lab]"
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install -c constraints.txt -e ".[docs]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install -c constraints.txt -e ".[dev]"
	@touch $@
