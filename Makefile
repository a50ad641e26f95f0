PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DARI := .venv-dari
BROWSER_USE := .venv-browser-use
NODE := .node
MODELS := $(abspath $(VENV))/models
PLACE := $(PYTHON) -I src/passel/store/postgres_account.py check

# targets are made in their order: what cannot work says so before anything is installed or fetched
.NOTPARALLEL:
.PHONY: help demo demo-verify demo-browsers test check chaos histories bench peers docs clean python demo-place test-place chromium

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Passel needs Python 3.11 or newer: make PYTHON=/path/to/python3 ..."; exit 1; }
	@test -e $(VENV)/ready || $(PYTHON) -c 'import ensurepip, venv' || { echo "Passel is installed into a virtual environment, for which this Python lacks a part: on Debian and Ubuntu, apt install python3-venv"; exit 1; }

demo-place: python
	@test -n "$$DATABASE_URL$$PASSEL_DATABASE_URL" || $(PLACE) passel-demo $(VENV)

test-place: python
	@$(PLACE) "$${PASSEL_TEST_DIR:-/tmp}/passel-12345678" $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt | python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser,local,test,verify]'
	touch $@

# The vendor's own client. It asks for Python 3.12 and runs on 3.11 all the same.
$(DARI)/ready:
	$(PYTHON) -m venv $(DARI)
	$(DARI)/bin/python -m pip install --quiet --disable-pip-version-check --ignore-requires-python dari-cli==0.2.1
	touch $@

# An agent that drives sessions over CDP in a test. It brings a hundred libraries along, some of them in other versions than ours.
$(BROWSER_USE)/ready:
	@$(PYTHON) -m venv $(BROWSER_USE) && $(BROWSER_USE)/bin/python -m pip install --quiet --disable-pip-version-check browser-use==0.13.14 && \
	touch $@ || { rm -rf $(BROWSER_USE); echo "browser-use could not be installed: its test is skipped"; }

# Puppeteer drives sessions in a test, where there is npm to install it.
$(NODE)/ready:
	@if command -v npm > /dev/null; then \
		npm install --silent --no-audit --no-fund --no-package-lock --prefix $(NODE) puppeteer-core@25.16.0 && touch $@ || echo "Puppeteer could not be installed: its test is skipped"; \
	else echo "no npm here: the test of Puppeteer is skipped"; fi

# The local model of the demos, fetched with what is installed: the demos themselves need no network.
$(MODELS)/smollm2.gguf: $(VENV)/ready
	$(BIN)/passel models pull smollm2 --data-dir $(VENV) > /dev/null

demo: demo-place $(VENV)/ready $(MODELS)/smollm2.gguf ## Run the main job: 12 tasks x 2 LLM options on a local model, with a worker killed on the way
	PASSEL_MODELS_DIR=$(MODELS) $(BIN)/passel demo

demo-verify: demo-place $(VENV)/ready $(MODELS)/smollm2.gguf ## Verify a file of claims with facts and a local model, without a network
	PASSEL_MODELS_DIR=$(MODELS) $(BIN)/passel verify demo

demo-browsers: demo-place $(VENV)/ready chromium ## Ten browser sessions in one batch, each at work on a page of this machine; a picture of all and a recording are left
	$(BIN)/passel browsers demo

# A browser for the tests of browsers: Debian's, where this user may install it. Without one these tests are skipped, and say so.
chromium:
	@command -v chromium chromium-browser google-chrome > /dev/null 2>&1 || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo "installing Debian's chromium for the tests of browsers"; \
		{ apt-get update -qq && apt-get install -y -qq chromium; } > /dev/null 2>&1 || echo "chromium could not be installed: the tests of browsers are skipped"; \
	else echo "no Chromium here: the tests of browsers are skipped; as root, apt install chromium"; fi

test: test-place $(VENV)/ready $(DARI)/ready $(BROWSER_USE)/ready $(NODE)/ready chromium ## Run the tests (a few minutes)
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/ready ## Lint, types, import rules, generated docs
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m passel.cli.reference --check docs/reference

chaos: test-place $(VENV)/ready ## The long kill tests: 20 kills of workers, API and database (about 25 minutes)
	$(BIN)/python -m pytest -m slow --ignore tests/test_histories.py

histories: test-place $(VENV)/ready ## 10,000 random histories against the invariants (about half an hour)
	$(BIN)/python -m pytest -m slow tests/test_histories.py

bench: $(VENV)/ready ## Every benchmark, each with its baseline
	$(BIN)/python -m benchmarks.creation
	$(BIN)/python -m benchmarks.turns
	$(BIN)/python -m benchmarks.turns --client pydantic-ai
	$(BIN)/python -m benchmarks.in_flight
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.takeover
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.statements
	$(BIN)/python -m benchmarks.blocking
	$(BIN)/python -m benchmarks.webhooks
	$(BIN)/python -m benchmarks.arena
	$(BIN)/python -m benchmarks.browsers
	$(BIN)/python -m benchmarks.browser_processes
	$(BIN)/python -m benchmarks.screencast
	$(BIN)/python -m benchmarks.streams
	$(BIN)/python -m benchmarks.tools
	$(BIN)/python -m benchmarks.formal
	$(BIN)/python -m benchmarks.verification
	$(BIN)/python -m benchmarks.semantic
	$(BIN)/python -m benchmarks.asking

peers: $(VENV)/ready ## Passel beside LangGraph's dev server and Inspect AI, each in an environment of its own
	$(BIN)/python -m benchmarks.peers

docs: $(VENV)/ready ## Write the generated reference of settings, commands and HTTP
	$(BIN)/python -m passel.cli.reference docs/reference

clean: ## Remove environments and the demo's data
	rm -rf $(VENV) $(DARI) $(BROWSER_USE) .venv-peers passel-demo passel-demo-verify
