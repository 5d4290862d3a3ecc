# make app    opens the app          make test   lint, types, tests
# make bench  measures the engine    make lint   mends what ruff can mend
# make check  a fresh clone, its first song and its tests        make nightly  what takes hours
# make lock   both lock files anew   make audit  looks up known weaknesses of what they lock
# make picture  draws the README's picture
BIN := .venv/bin
APP := python=$$(.ci/python) && $$python .ci/install.py requirements.lock
TOOLS := $(APP) tests/requirements.lock
LOCKED := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock"
export PYTHON

app:
	@$(APP)
	$(BIN)/streamlit run app.py

test: tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --ignore tests/browser --ignore tests/test_pages.py
	$(BIN)/pytest tests/test_pages.py tests/browser # one app and one browser at a time

check:
	python=$$(.ci/python) && $$python .ci/check.py

nightly: tools check
	$(BIN)/pip install --quiet -r tests/fuzz/requirements.txt
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.fuzz.guided
	for n in 1 2 3 4 5; do $(BIN)/pytest --hypothesis-profile default tests/test_export.py tests/test_similarity.py || exit; done
	TRAJECTORY_KILLS=1000 TRAJECTORY_CROWD=900 $(BIN)/pytest tests/faults
	$(BIN)/python -m tests.benchmarks load soak
	-$(MAKE) audit # its word counts only where there is an internet to ask

bench: tools
	$(BIN)/python -m tests.benchmarks $(ONLY)

picture: tools
	$(BIN)/python -m tests.benchmarks.picture

lint: tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: tools
	$(LOCKED) --output-file requirements.lock requirements.txt
	$(LOCKED) --constraint requirements.lock --output-file tests/requirements.lock tests/requirements.txt

audit: tools
	$(BIN)/pip install --quiet pip-audit
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

tools:
	@$(TOOLS)
	@(command -v chromium && command -v node) > /dev/null || (apt-get -qq update && apt-get -qq install -y chromium nodejs > /dev/null) || $(BIN)/playwright install chromium

.PHONY: app test check nightly bench picture lint lock audit tools
