# `make run` serves the demo, `make test` runs lint, types and tests; both set up
# .venv first. PORT=9000 make run listens elsewhere.

PYTHON ?= python3
PORT ?= 8080
BIN := .venv/bin

.PHONY: run test bench clean

run: .venv/ready
	@$(BIN)/flask --app app demo --port $(PORT)

test: .venv/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/pytest

bench: .venv/ready-to-test
	$(BIN)/python -m benchmarks.bench

clean:
	rm -rf .venv

.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/ready-to-test: .venv/ready requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
