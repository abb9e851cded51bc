# make demo        sets up .venv and runs export, convert and predict on a packaged model and photo
# make test        sets up .venv and runs the linters, the floors and the tests, but for the slow ones; WORKERS=8 for
#                  more processes than two, each of which takes up to 3 GB
# make test-all    the same with the slow tests
# make test-lowest sets up .venv-lowest with the oldest versions that setup.cfg allows and runs tests on them
# make test-ultralytics sets up .venv-ultralytics, in which torchvision works beside TensorFlow, and runs Ultralytics' own
#                  predict and val on our directories; 8 GB on disk, as PyPI's torch is a build for GPUs, with their libraries
# make test-page  sets up .venv-demo, in which Pillow is one that Gradio takes, and tries the page of tftrt-yolo serve in
#                  Debian's chromium (apt install chromium), with models that .venv exports
# make test-beam  sets up .venv-beam, in which Apache Beam's own pins hold, and runs the model handler on its DirectRunner, with
#                  models that .venv exports
# make test-spark sets up .venv-spark, with PySpark, and runs the recipe of docs/pages/spark.md on local[2], with models that .venv
#                  exports; needs Java 17 (apt install default-jre-headless)
# make fuzz        brings damaged checkpoints, SavedModels, images, labels, recipes and workers' results to the package, an
#                  hour or two long; FUZZ="--images=100 --seed=2" for others; the log goes to build/fuzz.json
# make benchmarks  rewrites the benchmark pages from benchmarks/*/benchmark.json
# make docs        sets up .venv-docs and builds the documentation into build/site, strictly, with its links checked
# make dist        builds a release twice, refuses any difference, checks it, and puts it with its SBOM into dist
# make lint        runs the linter and the formatter as the hooks do
# make shape       counts rooms, lines, bodies, parameters, import circles and repeated blocks of the package

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
FUZZ ?= --seed=1 --checkpoints=10000 --saved_models=2000 --images=20000 --labels=20000 --recipes=5000 --worker_results=5000 --engine_files=5000
# A file's tests stay together, for they share models, and files go in the order of conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder --durations=15

.PHONY: demo test test-all test-lowest test-ultralytics test-page test-beam test-spark fuzz check benchmarks docs dist lint shape clean

demo: .venv/installed
	$(BIN)/tftrt-yolo demo --output_dir=runs/demo --overwrite

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

test: check
	$(PYTEST) -m 'not slow'

test-all: check
	$(PYTEST)

# Left out: a head that the lowest Ultralytics does not have, and a picture that its own Pillow opens in another way.
test-lowest: .venv-lowest/installed
	.venv-lowest/bin/tftrt-yolo demo --output_dir=runs/lowest --overwrite
	.venv-lowest/bin/python -m pytest tests/saved_model/test_damage.py tests/exporter/test_export.py \
	  tests/predictor/test_predictor.py tests/converter/test_convert.py tests/evaluation/test_evaluate.py \
	  -k 'not depth and not bomb'

# The import is for the skips: without a torchvision that works all of it would be left out.
test-ultralytics: .venv-ultralytics/installed
	.venv-ultralytics/bin/python -c 'import tensorflow, torchvision'
	.venv-ultralytics/bin/python -m pytest -m torchvision tests/ultralytics tests/exporter tests/graph/test_crop.py

test-page: .venv-demo/installed build/page_models/installed
	.venv-demo/bin/python -m pytest tests/serving/page --saved_models=build/page_models

test-beam: .venv-beam/installed build/page_models/installed
	.venv-beam/bin/python -m pytest tests/beam --saved_models=build/page_models

test-spark: .venv-spark/installed build/page_models/installed
	.venv-spark/bin/python -m pytest tests/spark --saved_models=build/page_models

fuzz: .venv/installed
	$(BIN)/python -m tests.fuzz --workers=$(WORKERS) --log=build/fuzz.json $(FUZZ)

benchmarks: .venv/installed
	$(BIN)/python -m tftrt_yolo.benchmarking.results.page

docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --config-file docs/mkdocs.yml
	.venv-docs/bin/python docs/check_links.py build/site

notebooks: .venv/installed
	$(BIN)/python docs/notebook_pages.py

dist: .venv-dist/installed
	.venv-dist/bin/python .ci/dist.py

lint: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

shape: .venv/installed
	$(BIN)/python -m tests.house.shape

.venv/installed: setup.cfg setup.py constraints.txt docs/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export,benchmark,evaluate,dataframe,track,preflight,video,serve,tracing,triton,ray,notebooks,dev]'
	touch $@

.venv-docs/installed: docs/requirements.txt docs/constraints.txt constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet -c constraints.txt -c docs/constraints.txt -r docs/requirements.txt
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

.venv-ultralytics/installed: setup.cfg setup.py .ci/ultralytics.txt
	$(PYTHON) -m venv .venv-ultralytics
	.venv-ultralytics/bin/python -m pip install --quiet --constraint .ci/ultralytics.txt --editable '.[export]' \
	  pytest torchvision
	touch $@

.venv-demo/installed: setup.cfg setup.py .ci/demo.txt
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --constraint .ci/demo.txt --editable '.[serve,demo,video]' pytest playwright
	touch $@

.venv-beam/installed: setup.cfg setup.py .ci/beam.txt
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/python -m pip install --quiet --constraint .ci/beam.txt --editable '.[beam]' pytest tensorflow-hub
	touch $@

.venv-spark/installed: setup.cfg setup.py .ci/spark.txt
	$(PYTHON) -m venv .venv-spark
	.venv-spark/bin/python -m pip install --quiet --constraint .ci/spark.txt --editable '.[spark]' pytest
	touch $@

build/page_models/installed: .venv/installed
	for task in detect segment pose obb classify; do $(BIN)/tftrt-yolo export --weights=tests/data/yolov8n-tiny-$$task.pt \
	  --saved_model_dir=build/page_models/$${task}_saved_model --image_size=320 --overwrite || exit 1; done
	for task in semantic depth; do $(BIN)/tftrt-yolo export --weights=tests/data/yolo26n-tiny-$$task.pt \
	  --saved_model_dir=build/page_models/$${task}_saved_model --image_size=160 --overwrite || exit 1; done
	rm -rf build/page_models/tiny_saved_model
	mv build/page_models/detect_saved_model build/page_models/tiny_saved_model
	touch $@

clean:
	rm -rf .venv .venv-docs .venv-dist .venv-lowest .venv-ultralytics .venv-demo .venv-beam .venv-spark runs build dist *.egg-info
