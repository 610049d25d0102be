# Everything a newcomer needs: `make demo` and `make test`. Both set up what they need by themselves.

PYTHON ?= python3
BIN := .venv/bin
BIGQUERY_TESTS := engagement_platform_tests/adapters/warehouse/bigquery

.PHONY: demo test test-fast test-bqemulator test-newcomer test-docker lint bench soak format lock clean
.DELETE_ON_ERROR:

demo: .venv/installed
	@$(BIN)/engagement-platform demo $(ARGS)

# The files of tests run beside each other, each process with servers of its own: most of a test is waiting.
test: .venv/installed
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-fast: .venv/installed
	$(BIN)/pytest -m "not servers and not slow" $(ARGS)

# The tables and queries over an emulator of BigQuery, in an environment of its own.
test-bqemulator: .venv/installed
	ENGAGEMENT_TEST_BQEMULATOR=$$(PYTHON=$(PYTHON) $(BIGQUERY_TESTS)/bqemulator.sh .bqemulator) \
	    $(BIN)/pytest $(BIGQUERY_TESTS)/test_bqemulator.py

# What the README tells a newcomer, in a clone with an empty home: installs everything once more.
test-newcomer: .venv/installed
	ENGAGEMENT_TEST_NEWCOMER=1 $(BIN)/pytest engagement_platform_tests/integration/test_newcomer.py

# The image built from the lock and the compose file's demo brought up, by hand where there is no engine: needs root.
test-docker: .venv/installed
	PYTHON=$(PYTHON) engagement_platform_tests/docker/check.sh .venv/docker-check
	$(BIN)/python -m engagement_platform_tests.docker.up $(ARGS)

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/installed
	$(BIN)/python -m engagement_platform_tests.bench $(ARGS)

# Minutes of delivery to a partner that misbehaves, is away, and a forward that is killed.
soak: .venv/installed
	$(BIN)/python -m engagement_platform_tests.soak $(ARGS)

lock: .venv/installed
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --no-strip-extras --python-version 3.11 \
	    --custom-compile-command "make lock" $(ARGS) pyproject.toml -o requirements.lock

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed. Name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into .venv; the first time this downloads some 400 MB."
	@$(PYTHON) -m venv .venv || \
	    { echo "The module venv is missing. On Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q engagement_platform
	@touch $@
