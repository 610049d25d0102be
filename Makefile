# Everything a newcomer needs: `make demo` and `make test`. Both set up what they need by themselves.

PYTHON ?= python3
BIN := .venv/bin
# What installs: `make PIP="uv pip" ...` for those who have uv.
PIP ?= $(BIN)/pip --disable-pip-version-check
# How many processes test beside each other, on two cores; each has servers of its own, half a gigabyte.
PROCESSES ?= 4
BIGQUERY_TESTS := engagement_platform_tests/adapters/warehouse/bigquery
DOCKER_TESTS := engagement_platform_tests/docker
# What makes locks.
UV ?= $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
    --custom-compile-command "make lock"

.PHONY: demo test test-fast test-bqemulator test-newcomer test-docker lint bench peers soak format lock lock-check clean
.DELETE_ON_ERROR:

demo: .venv/installed
	@$(BIN)/engagement-platform demo $(ARGS)

# The files of tests run beside each other, each process with servers of its own: most of a test is waiting. conftest.py
# says which go together and in which order; xdist would begin with the files that have the most tests.
test: .venv/installed
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: .venv/installed
	$(BIN)/pytest -m "not servers and not slow" $(ARGS)

# The tables and queries over an emulator of BigQuery, in an environment of its own.
test-bqemulator: .venv/installed
	ENGAGEMENT_TEST_BQEMULATOR=$$(PYTHON=$(PYTHON) $(BIGQUERY_TESTS)/bqemulator.sh .bqemulator) \
	    $(BIN)/pytest $(BIGQUERY_TESTS)/test_bqemulator.py

# What pages tell a newcomer, typed as it stands there: the README in a clone with an empty home, which installs
# everything once more; docs/own-servers.md; docs/your-own-stream.md, from a table to its backfill, with kills; the demo.
test-newcomer: .venv/installed
	ENGAGEMENT_TEST_NEWCOMER=1 $(BIN)/pytest -m newcomer -n 2 --dist load --maxschedchunk 1 $(ARGS)

# The image built from the lock and the compose file's demo brought up, by hand where there is no engine: needs root.
test-docker: .venv/installed
	PYTHON=$(PYTHON) $(DOCKER_TESTS)/check.sh .venv/docker-check
	$(BIN)/python -m engagement_platform_tests.docker.up $(ARGS)

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Alone, or `make bench peers`: what people would take instead, beside this platform.
bench: .venv/installed
	$(BIN)/python -m engagement_platform_tests.bench $(filter peers,$(MAKECMDGOALS)) $(ARGS)

peers: bench
	@:

# Minutes of delivery to a partner that misbehaves, is away, of a forward that is killed, and of more than is possible.
soak: .venv/installed
	$(BIN)/python -m engagement_platform_tests.soak $(ARGS)

lock: $(UV)
	$(COMPILE) --all-extras --no-strip-extras $(ARGS) pyproject.toml -o requirements.lock
	$(COMPILE) $(ARGS) $(BIGQUERY_TESTS)/bqemulator.in -o $(BIGQUERY_TESTS)/bqemulator.lock
	$(COMPILE) $(ARGS) $(DOCKER_TESTS)/check.in -o $(DOCKER_TESTS)/check.lock

# Lint and the quick tests with the newest releases that pyproject.toml allows, in a clone: requirements.lock stays as it
# is. A workflow does the same every week, with all tests.
lock-check:
	PYTHON=$(PYTHON) .ci/run newest lint test-fast

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/uv: .venv/installed

.venv/installed: requirements.lock pyproject.toml docker/install-locked.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed. Name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into .venv; the first time this downloads some 400 MB."
	@$(PYTHON) -m venv .venv || \
	    { echo "The module venv is missing. On Debian: apt-get install python3-venv"; exit 1; }
	@sh docker/install-locked.sh requirements.lock $(PIP)
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index -e .
	@$(BIN)/python -m compileall -q engagement_platform
	@touch $@
