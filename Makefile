# make app    opens the app          make test   lint, types, tests
# make bench  measures the engine    make lint   mends what ruff can mend
# make picture  draws the README's picture
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

bench: .venv/test-ready
	$(BIN)/python -m tests.benchmarks $(ONLY)

picture: .venv/test-ready
	$(BIN)/python -m tests.benchmarks.picture

lint: .venv/test-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/app-ready: requirements.txt | .venv/bin/pip
	$(INSTALL) -r requirements.txt
	touch $@

.venv/test-ready: tests/requirements.txt .venv/app-ready
	$(INSTALL) -r tests/requirements.txt
	(command -v chromium && command -v node) > /dev/null || (apt-get -qq update && apt-get -qq install -y chromium nodejs > /dev/null) || $(BIN)/playwright install chromium
	touch $@

.PHONY: app test bench picture lint
