# make demo        sets up .venv and runs export, convert and predict on a packaged model and photo
# make test        sets up .venv and runs the tests
# make benchmarks  rewrites the benchmark pages from benchmarks/*/benchmark.json
# make lint        runs the linter and the formatter as the hooks do
# make shape       counts rooms, lines, bodies, parameters, import circles and repeated blocks of the package
# make docs        sets up .venv-docs and builds the documentation into build/site, strictly, with its links checked

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test benchmarks lint shape docs clean

demo: .venv/installed
	$(BIN)/tftrt-yolo demo --output_dir=runs/demo --overwrite

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

benchmarks: .venv/installed
	$(BIN)/python -m tftrt_yolo.benchmarking.results.page

lint: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

shape: .venv/installed
	$(BIN)/python -m tests.house.shape

docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --config-file docs/mkdocs.yml
	.venv-docs/bin/python docs/check_links.py build/site

.venv/installed: setup.cfg setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export,benchmark,evaluate,notebooks,dev]'
	touch $@

.venv-docs/installed: docs/requirements.txt docs/constraints.txt constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet -c constraints.txt -c docs/constraints.txt -r docs/requirements.txt
	touch $@

clean:
	rm -rf .venv .venv-docs runs build *.egg-info
