# make demo    environment, int8 export, parity, benchmark, a blurred portrait: everything lands in demo/
# make test    lint, types and all tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types fast docs tables measure clean test-tflite-runtime test-camera test-arm64
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export,onnx,report,search,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python scripts/demo.py demo

# one process a core, each with one thread: torch's own threads gain nothing on networks as small as the tests'
test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

fast: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow' --numprocesses auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy knows nothing of package-dir: it is shown the tree as it installs
types: $(VENV)/.installed
	rm -rf build/tree && mkdir -p build/tree/edgeseg
	ln -s $(CURDIR)/edgeseg/* $(CURDIR)/export $(CURDIR)/runtime $(CURDIR)/calib build/tree/edgeseg/
	cd build/tree && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p edgeseg

# the last tflite-runtime of that name, in an environment of its own (needs Python 3.11 or older and the package index)
test-tflite-runtime: $(VENV)/.installed
	$(BIN)/python scripts/try_tflite_runtime.py

# the real command on a real kernel's cameras, in QEMU; skipped until scripts/camera_vm.sh build has made the machine
test-camera: $(VENV)/.installed
	$(BIN)/python scripts/try_camera.py

# the wheel as an aarch64 program, in qemu-user; skipped until scripts/arm64.sh build has made the system
test-arm64: $(VENV)/.installed
	$(BIN)/python scripts/try_arm64.py

docs: $(VENV)/.installed
	$(BIN)/python scripts/make_docs.py

# the README's tables from what is stored in benchmarks/results and on the models' cards; tests/test_tables.py compares
tables: $(VENV)/.installed
	$(BIN)/python scripts/make_tables.py

# the benchmarks behind them, anew: about 20 minutes on a machine that does nothing else
measure: $(VENV)/.installed
	$(BIN)/python benchmarks/run_all.py
	$(BIN)/python scripts/make_tables.py

clean:
	rm -rf build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
