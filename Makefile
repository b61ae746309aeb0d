# Every target makes .venv by itself, from requirements.lock. PYTHON chooses the interpreter: make test PYTHON=python3.13
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow coverage mutants fuzz audit lint types lock clean

demo: .venv/ready  ## trains and scores DEC on scikit-learn's digits: a minute or two
	$(BIN)/python DEC.py --dataset digits

test: .venv/ready
	$(BIN)/python -m pytest

test-slow: .venv/ready  ## minutes; real data where DEC_DATA_DIR has it
	$(BIN)/python -m pytest -m slow

coverage: .venv/ready  ## of lines and branches, by the fast tests
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

mutants: .venv/ready  ## hours: changes the files of tests/mutation.toml in place, one thing at a time; do it in a clone
	$(BIN)/python -m pip install --quiet "cosmic-ray>=8.4"
	PATH=$(CURDIR)/$(BIN):$$PATH; cosmic-ray init tests/mutation.toml mutants.sqlite && \
	  cr-filter-operators mutants.sqlite tests/mutation.toml && cosmic-ray exec tests/mutation.toml mutants.sqlite
	$(BIN)/cr-report mutants.sqlite | tail

fuzz: .venv/ready  ## ten minutes or more: the table of tests/README.md
	$(BIN)/python -m tests.fuzz --mutations 2000

audit:  ## known vulnerabilities of what requirements.lock installs; needs uv and osv.dev
	uvx pip-audit --requirement requirements.lock --disable-pip --require-hashes --vulnerability-service osv

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: .venv/ready  ## of the public API; needs uv
	uvx basedpyright==1.40.2 --pythonpath $(BIN)/python

.venv/ready: requirements.lock
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip check
	touch $@

lock:  ## after a change to requirements*.txt; needs uv
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet requirements-dev.txt -o requirements.lock

clean:
	rm -rf .venv .pytest_cache .ruff_cache build *.egg-info
