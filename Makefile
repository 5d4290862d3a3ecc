# make app    opens the app          make test   lint, types, tests
# make bench  measures the engine    make lint   mends what ruff can mend
# make nightly  what takes hours     make picture  draws the README's picture
# make lock   requirements.lock anew  make audit  looks up known weaknesses of what it locks
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

app: .venv/app-ready
	$(BIN)/streamlit run app.py

test: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --ignore tests/browser --ignore tests/test_pages.py
	$(BIN)/pytest tests/test_pages.py tests/browser # one app and one browser at a time

nightly: .venv/test-ready
	$(INSTALL) -r tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.fuzz.guided
	TRAJECTORY_KILLS=1000 $(BIN)/pytest tests/faults
	$(BIN)/python -m tests.benchmarks load soak
	-$(MAKE) audit # its word counts only where there is an internet to ask

bench: .venv/test-ready
	$(BIN)/python -m tests.benchmarks $(ONLY)

picture: .venv/test-ready
	$(BIN)/python -m tests.benchmarks.picture

lint: .venv/test-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/app-ready
	$(INSTALL) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --output-file requirements.lock requirements.txt

audit: .venv/app-ready
	$(INSTALL) pip-audit
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/app-ready: requirements.txt | .venv/bin/pip
	$(INSTALL) -r requirements.txt
	touch $@

.venv/test-ready: tests/requirements.txt .venv/app-ready
	$(INSTALL) -r tests/requirements.txt
	(command -v chromium && command -v node) > /dev/null || (apt-get -qq update && apt-get -qq install -y chromium nodejs > /dev/null) || $(BIN)/playwright install chromium
	touch $@

.PHONY: app test nightly bench picture lint lock audit
