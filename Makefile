# Two commands do everything: `make profile` and `make test`. `make install` makes the
# environment alone: its programs lie in .venv/bin.
# `make check` runs what continuous integration runs: `test`, `test-thorough` (the tests
# marked so: many seeds, emulators, compilers, whole installations), `lint` and `test-light`,
# the tests of what needs no torch, in an environment without it.
# `make coverage` runs the tests and reports which branches none has taken.
#
# Tests run in a random order, and each run states its seed:
#
#   make test ARGS=--randomly-seed=N            the order of that run
#   make test ARGS=--randomly-seed=N WORKERS=0  the same in one process
#
#   PYTHON       interpreter for the virtual environment (3.11 to 3.14)
#   PYTHON_LIGHT that of the environment without torch: by default the newest that runs
#   TORCH_INDEX  extra package index for PyTorch; set it to PyTorch's index of
#                CPU wheels on Linux to avoid several GB of CUDA packages
#   VENV_LIGHT   virtual environment without torch
#   DEVICE       device to profile; ARGS are passed on to the profiler
#   WORKERS      processes that share the tests (0: no further process)
#
# `make network` does the whole chain: a table of small networks for 32x32 images
# (once), a search under a latency target, training, and the proof on the device.
#
#   DATA         digits, or a folder or archive of class sub-folders
#   TARGET_MS    latency to meet; by default a quarter of the way from the fastest to the
#                slowest network of the space, and 5 % more for a machine that is slower then
#   NET          folder for what is made; SEARCH_ARGS are passed on to the search

PYTHON ?= $(shell command -v python3.11 || echo python3)
PYTHON_LIGHT ?= $(shell for minor in 14 13 12 11; do \
  for python in python3.$$minor $(HOME)/.pyenv/versions/3.$$minor.*/bin/python; do \
  if $$python -c 'import ensurepip' 2>/dev/null; then echo $$python; exit; fi; done; done; echo $(PYTHON))
VENV ?= .venv
VENV_LIGHT ?= .venv-light
DEVICE ?= host
TORCH_INDEX ?=
ARGS ?=
WORKERS ?= 2
DATA ?= digits
TARGET_MS ?=
NET ?= network
SEARCH_ARGS ?=

BIN := $(VENV)/bin
BIN_LIGHT := $(VENV_LIGHT)/bin
STAMP := $(VENV)/.installed
STAMP_TEST := $(VENV)/.installed-test
STAMP_LIGHT := $(VENV_LIGHT)/.installed
# Modules are compiled when they are first imported: most of torch's never are. An environment
# that forbids to keep the result (container images often do) would compile them in each process.
unexport PYTHONDONTWRITEBYTECODE
PIP := -m pip install --quiet --disable-pip-version-check --no-compile
# pip works for a minute and more: now and then a line says that it does. Ended with the recipe.
ALIVE_S ?= 15
ALIVE = s=0; while sleep $(ALIVE_S) >&- 2>&-; do s=$$((s+$(ALIVE_S))); \
  echo "  $$s s, $$(du -sm $(1) | cut -f1) MB in $(1)"; done >&2 & alive=$$!; trap 'kill $$alive' EXIT;
# Versions that were tested with an environment's Python; an error names the Pythons there are.
CONSTRAINTS = -c $(or $(wildcard constraints/$(shell \
  $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt),$(error \
  The kit runs on Python 3.11 to 3.14: name one by PYTHON=python3.11))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
# What must work where only the base dependencies and those of the command lines are installed.
LIGHT := tests/test_layers.py tests/test_sizes.py tests/search/test_architecture.py \
  tests/search/test_files.py tests/search/test_light_imports.py tests/search/console \
  tests/search/latency tests/search/operators/test_counts.py \
  tests/search/operators/test_spec.py tests/search/recipes tests/search/selection/test_scores.py \
  tests/search/spaces/test_spaces.py tests/search/table tests/search/zoo tests/test_wheel.py

.PHONY: install profile check test test-thorough test-light lint coverage runner network clean

install: $(STAMP) runner

profile: $(STAMP) runner
	$(BIN)/python -m profiler --device $(DEVICE) $(ARGS)

check: test lint test-light test-thorough

test: $(STAMP_TEST) runner
	$(PYTEST) -m "not thorough" $(ARGS)

test-thorough: $(STAMP_TEST) runner
	$(PYTEST) -m thorough $(ARGS)

test-light: $(STAMP_LIGHT)
	$(BIN_LIGHT)/python -m pytest $(LIGHT) $(ARGS)

lint: $(STAMP_TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests

coverage: $(STAMP_TEST) runner
	$(PYTEST) --cov --cov-branch $(ARGS)

# The images are looked at first: their number of classes decides which table is needed.
network: $(STAMP) runner
	@set -e; classes=$$($(BIN)/python -m search images $(DATA) --format csv | tail -n 1 | cut -d, -f1); test -n "$$classes"; \
	newest() { ls -d $(NET)/tables/*/*-c$$classes-* 2>/dev/null | sort -V | tail -n 1; }; \
	test -n "$$(newest)" || (set -x; $(BIN)/python -m profiler --device $(DEVICE) --space fbnet-mini --classes $$classes -o $(NET)/tables) || test -n "$$(newest)"; \
	table=$$(newest); set -x; \
	$(BIN)/python -m search --table $$table $(if $(TARGET_MS),--target-ms $(TARGET_MS),--target-share 0.25) --data $(DATA) --retrain -o $(NET)/net.json $(SEARCH_ARGS); \
	target=$(or $(TARGET_MS),$$($(BIN)/python -c "import json; print(round(json.load(open('$(NET)/net.result.json'))['target_us'] * 0.00105, 5))")); \
	$(BIN)/python -m deploy $(NET)/net.json --weights $(NET)/net.pt --data $(DATA) --device $(DEVICE) --table $$table --target-ms $$target

# The native runner is worth having (it costs microseconds less a call), but
# nothing depends on it: without a C++ compiler Python's runtimes measure.
runner: $(STAMP)
	@$(BIN)/python -m device_agents.native || echo "going on without the native runner" >&2

$(STAMP): pyproject.toml setup.py constraints.txt $(wildcard constraints/*.txt)
	$(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch (CPU wheel: 183 MB; the plain one brings GBs of CUDA)" >&2
	@$(call ALIVE,$(VENV)) $(BIN)/python $(PIP) $(call CONSTRAINTS,$(PYTHON)) torch==2.13.0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	@echo "installing the kit and its runtimes (270 MB)" >&2
	@$(call ALIVE,$(VENV)) $(BIN)/python $(PIP) $(call CONSTRAINTS,$(PYTHON)) -e '.[profile]'
	touch $@

$(STAMP_TEST): $(STAMP)
	@echo "installing what the tests need" >&2
	@$(call ALIVE,$(VENV)) $(BIN)/python $(PIP) $(call CONSTRAINTS,$(PYTHON)) -e '.[profile,test]'
	touch $@

$(STAMP_LIGHT): pyproject.toml setup.py constraints.txt $(wildcard constraints/*.txt)
	$(PYTHON_LIGHT) -m venv $(VENV_LIGHT)
	@echo "installing the light environment of the tests" >&2
	@$(call ALIVE,$(VENV_LIGHT)) $(BIN_LIGHT)/python $(PIP) $(call CONSTRAINTS,$(PYTHON_LIGHT)) -e '.[light-test]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV_LIGHT) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
