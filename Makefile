# Everything a newcomer needs: `make demo` and `make test`. Both set up what they need by themselves.

PYTHON ?= python3
BIN := .venv/bin
# What installs: `make PIP="uv pip" ...` for those who have uv.
PIP ?= $(BIN)/pip --disable-pip-version-check
# How many processes test beside each other, on two cores; each has servers of its own, half a gigabyte. More starve each
# other, and what waits for a server gives up.
PROCESSES ?= 3
BIGQUERY_TESTS := engagement_platform_tests/adapters/warehouse/bigquery
DOCKER_TESTS := engagement_platform_tests/docker
KUBERNETES_TESTS := engagement_platform_tests/kubernetes
# What makes locks.
UV ?= $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
    --custom-compile-command "make lock"

.PHONY: demo test test-fast test-bqemulator test-newcomer test-whole test-docker test-kubernetes \
    test-rules lint bench peers soak chaos format lock \
    lock-check audit sbom observability clean
.DELETE_ON_ERROR:

demo: .venv/installed
	@$(BIN)/engagement-platform demo $(ARGS)

# The files of tests run beside each other, each process with servers of its own: most of a test is waiting. A process
# imports only the files that it is given. order.py says which go together and in which order; xdist would begin with the
# files that have the most tests.
test: .venv/installed
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -o console_output_style=classic $(ARGS)

test-fast: .venv/installed
	$(BIN)/pytest -m "not servers and not slow" $(ARGS)

# The tables and queries over an emulator of BigQuery, in an environment of its own.
test-bqemulator: .venv/installed
	ENGAGEMENT_TEST_BQEMULATOR=$$(PYTHON=$(PYTHON) $(BIGQUERY_TESTS)/bqemulator.sh .bqemulator) \
	    $(BIN)/pytest $(BIGQUERY_TESTS)/test_bqemulator.py

# What pages tell a newcomer, typed as it stands there: the README in a clone with an empty home, which installs
# everything once more; docs/own-servers.md; docs/your-own-stream.md, from a table to its backfill, with kills; the demo.
test-newcomer: .venv/installed
	ENGAGEMENT_TEST_NEWCOMER=1 $(BIN)/pytest -m newcomer -n 2 --dist loadfile --no-loadscope-reorder \
	    $$(grep -rl --include='test_*.py' 'pytest.mark.newcomer' engagement_platform_tests) $(ARGS)

# What takes many minutes of both cores: all of Dagster with weeks that are rebuilt, and with its partitions divided among
# one, three and two runs, under load and with kills; Debezium in place of the relay.
test-whole: .venv/installed
	ENGAGEMENT_TEST_WHOLE=1 $(BIN)/pytest -m whole \
	    $$(grep -rl --include='test_*.py' 'pytest.mark.whole' engagement_platform_tests) $(ARGS)

# The image built from the lock and the compose file's project through its life, in real containers where Docker's engine
# can be had from packages (root, on Debian: two minutes the first time, into the user's cache), by hand otherwise; it says
# which. ARGS="--keep FOLDER" keeps what the engine built for the next time; ARGS=--by-hand does without the engine.
test-docker: .venv/installed
	PYTHON=$(PYTHON) $(DOCKER_TESTS)/check.sh .venv/docker-check
	$(BIN)/python -m engagement_platform_tests.docker $(ARGS)

# The chart in a real cluster of two nodes on this machine, under load: linted, validated, installed, upgraded, rolled
# back, uninstalled, with pods and a node lost. Needs root, Go and Debian's packages, and twenty minutes the first time.
test-kubernetes: .venv/installed
	PYTHON=$(PYTHON) $(KUBERNETES_TESTS)/check.sh $(ARGS)

# The alert rules by promtool, each by a test in which it fires and stops, and what /metrics answers. Needs Go, with which
# promtool is built the first time, for some minutes, into the user's cache; skipped where it is not there.
test-rules: .venv/installed
	ENGAGEMENT_TEST_PROMTOOL=$$(engagement_platform_tests/console/observability/promtool.sh) \
	    $(BIN)/pytest engagement_platform_tests/console/observability/test_promtool.py -rs

# Dashboard, alert rules and the page of the metrics, from what declares them; a test holds that they are up to date.
observability: .venv/installed
	$(BIN)/python -m engagement_platform.console.observability

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Whether weaknesses are known of what requirements.lock names. Asks a service on the net, so it is no part of lint; where
# that cannot be reached it says so, and fails.
audit: .audit/installed
	.ci/audit .audit/bin/pip-audit $(SERVICE)

# What the image holds, as CycloneDX JSON: dist/sbom.cdx.json.
sbom: .venv/installed .audit/installed
	@mkdir -p dist
	.audit/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	    --of JSON $(BIN)/python > .audit/found.json
	$(BIN)/python .ci/sbom.py < .audit/found.json > dist/sbom.cdx.json
	@echo "dist/sbom.cdx.json is written."

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

# The whole system under faults at moments that follow from a seed, and a checker of its own: see docs/chaos.md.
chaos: .venv/installed
	$(BIN)/python -m engagement_platform_tests.chaos $(ARGS)

lock: $(UV)
	$(COMPILE) --all-extras --no-strip-extras $(ARGS) pyproject.toml -o requirements.lock
	$(COMPILE) $(ARGS) $(BIGQUERY_TESTS)/bqemulator.in -o $(BIGQUERY_TESTS)/bqemulator.lock
	$(COMPILE) $(ARGS) $(DOCKER_TESTS)/check.in -o $(DOCKER_TESTS)/check.lock
	$(COMPILE) $(ARGS) $(KUBERNETES_TESTS)/check.in -o $(KUBERNETES_TESTS)/check.lock
	$(COMPILE) --no-strip-extras $(ARGS) .ci/audit.in -o .ci/audit.lock

# Lint and the quick tests with the newest releases that pyproject.toml allows, in a clone: requirements.lock stays as it
# is. A workflow does the same every week, with all tests.
lock-check:
	PYTHON=$(PYTHON) .ci/run newest lint test-fast

clean:
	rm -rf .venv .audit dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/uv: .venv/installed

# The tools of audit and sbom, in an environment of their own: nothing else needs them.
.audit/installed: .ci/audit.lock docker/install-locked.sh
	@$(PYTHON) -m venv .audit
	@sh docker/install-locked.sh .ci/audit.lock .audit/bin/pip --disable-pip-version-check
	@touch $@

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
