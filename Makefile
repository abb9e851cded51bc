# make demo        sets up .venv and runs export, convert and predict on a packaged model and photo
# make test        sets up .venv and runs the tests
# make benchmarks  rewrites the benchmark pages from benchmarks/*/benchmark.json
# make lint        runs the linter and the formatter as the hooks do
# make dist        builds a release twice, refuses any difference, checks it, and puts it with its SBOM into dist
# make test-lowest sets up .venv-lowest with the oldest versions that setup.cfg allows and runs tests on them

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test benchmarks lint dist test-lowest clean

demo: .venv/installed
	$(BIN)/tftrt-yolo demo --output_dir=runs/demo --overwrite

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

benchmarks: .venv/installed
	$(BIN)/python -m tftrt_yolo.measure.page

lint: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: .venv-dist/installed
	.venv-dist/bin/python .ci/dist.py

# Left out: a head that the lowest Ultralytics does not have, and a picture that its own Pillow opens in another way.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/tftrt-yolo demo --output_dir=runs/lowest --overwrite
	.venv-lowest/bin/python -m pytest tests/test_saved_model.py tests/exporter/test_export.py \
	  tests/predictor/test_predictor.py tests/converter/test_convert.py tests/measure/evaluation/test_evaluate.py \
	  -k 'not depth and not bomb'

.venv/installed: setup.cfg setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export,benchmark,evaluate,notebooks,dev]'
	touch $@

.venv-dist/installed: Makefile constraints.txt
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --constraint constraints.txt \
	  build check-wheel-contents 'cyclonedx-python-lib[json-validation]' pip setuptools twine wheel
	touch $@

.venv-lowest/installed: setup.cfg setup.py .ci/lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint .ci/lowest.txt --editable '.[benchmark,evaluate,export]' pytest
	touch $@

clean:
	rm -rf .venv .venv-dist .venv-lowest runs build dist *.egg-info
