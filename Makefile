# `make run` and `make test` need Linux or macOS and Python 3.11 or later, and nothing else.

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
DIR ?= photos

.PHONY: run test torture install install-dev demo check photos bench bench-growth lock clean

run: install
	$(BIN)/darkroom serve

test: install-dev
	$(BIN)/python -m pytest -n auto

# Run the suites of crashes, power cuts and I/O errors; a round takes about three minutes: make torture SEEDS=100
SEEDS ?= 20
torture: install-dev
	$(BIN)/python -m tests.torture --seeds $(SEEDS)

install: .venv/installed

install-dev: .venv/installed-dev

demo: install
	$(BIN)/darkroom demo

check: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Measure the cut-outs against reference masks: make photos DIR=folder/of/photos
photos: install-dev
	$(BIN)/python -m tests.bench.photos $(DIR)

# Compare each call over 5 million tasks with the same call over 10 thousand. Takes ten minutes and 6 GB of the
# temporary folder.
bench-growth: install-dev
	$(BIN)/python -m tests.bench.growth

# Measure Darkroom beside a bare aiohttp handler and a baseline implementation, and write docs/performance.md. Needs wrk
# and Linux.
bench: install-dev
	$(BIN)/python -m tests.bench.load

# Pin what pyproject.toml asks for, for every supported Python and platform, to the newest versions.
LOCK := $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-annotate pyproject.toml
lock: .venv/bin/python
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --all-extras --group build --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf .venv build *.egg-info

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Darkroom needs Python 3.11 or later: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

.venv/installed: .venv/bin/python requirements.lock pyproject.toml
	@echo "Installing what Darkroom needs into .venv; this happens once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
