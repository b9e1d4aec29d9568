# Two commands do everything: `make profile` and `make test`.
#
#   PYTHON       interpreter for the virtual environment (3.11)
#   TORCH_INDEX  extra package index for PyTorch; set it to PyTorch's index of
#                CPU wheels on Linux to avoid several GB of CUDA packages
#   DEVICE       device to profile; ARGS are passed on to the profiler
#   WORKERS      processes that share the tests
#
# `make network` does the whole chain: a table of small networks for 32x32 images
# (once), a search under a latency target, training, and the proof on the device.
#
#   DATA         digits, or a folder or archive of class sub-folders
#   TARGET_MS    latency to meet
#   NET          folder for what is made; SEARCH_ARGS are passed on to the search

PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV ?= .venv
DEVICE ?= host
TORCH_INDEX ?=
ARGS ?=
WORKERS ?= 2
DATA ?= digits
TARGET_MS ?= 0.07
NET ?= network
SEARCH_ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: profile test lint runner network clean

profile: $(STAMP) runner
	$(BIN)/python -m profiler --device $(DEVICE) $(ARGS)

test: $(STAMP) runner
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

network: $(STAMP) runner
	test -d $(NET)/tables/* || $(BIN)/python -m profiler --device $(DEVICE) --space fbnet-mini -o $(NET)/tables || test -d $(NET)/tables/*
	$(BIN)/python -m search --table $(NET)/tables/*/* --target-ms $(TARGET_MS) --data $(DATA) --retrain -o $(NET)/net.json $(SEARCH_ARGS)
	$(BIN)/python -m deploy $(NET)/net.json --weights $(NET)/net.pt --data $(DATA) --device $(DEVICE) --table $(NET)/tables/*/* --target-ms $(TARGET_MS)

# The native runner is worth having (it costs microseconds less a call), but
# nothing depends on it: without a C++ compiler Python's runtimes measure.
runner: $(STAMP)
	@$(BIN)/python -m device_agents.native || echo "going on without the native runner" >&2

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	$(PIP) -e '.[profile,test]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
