# Every target makes the virtual environment it needs; none needs anything but Python 3.11+ and make.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO := runtime/default_bundle
LIGHT := $(VENV)/.ready-light
READY := $(VENV)/.ready
RELEASE := $(VENV)/.ready-release
ALL_WHEELS := dist/all
# What is never imported need not be compiled: of torch's packages that is most.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# Pip's newer versions have another variable for what builds.
BUILD_WITH = PIP_CONSTRAINT=constraints-build.txt PIP_BUILD_CONSTRAINT=constraints-build.txt
FULL_DIR ?= build/fullsize
DATA_DIR ?= build/demo-data
RUN_DIR ?= build/demo-run
PEERS_DIR ?= build/bench-peers
SCORE_DIR ?= build/demo-score
MINIMUMS := build/minimums
PYTHONS ?= python3.12 python3.13
REAL_DIR ?= build/real
RECIPE ?= deep-holes
MINUTES ?= 90

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-real test-minimums test-pythons check format types fullsize fullsize-calibrate wheel wheels wheel-check wheels-check kits-check frozen-check clean train-data train-demo score-demo eval-canonical bench-fidelity bench-peers bench-serve test-clients test-signing test-gpu-counts native native-emulated native-sanitized bench-native fuzz docs

help: ## Print this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(READY) ## Make .venv with all that development needs (torch included, about 1.5 GB)

$(LIGHT): pyproject.toml setup.py constraints.txt $(wildcard runtime/backends/native/*.[ch] runtime/backends/native/*/*.[ch])
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; name one: make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute the first time) ..."
	@$(INSTALL) -e '.[cpu,export]'
	@touch $@

$(READY): $(LIGHT)
	@echo "installing torch and the development tools into $(VENV) (some minutes the first time) ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

$(DEMO)/refact_edge.json: $(LIGHT) $(wildcard demo/checkpoint/* export/*.py export/*/*.py quant/*.py quant/texts/*.py quant/texts/*-set/* runtime/bundle/*.py runtime/text/*.py)
	@$(BIN)/refact-edge export demo/checkpoint $(DEMO) --force

demo: $(DEMO)/refact_edge.json ## Export the demo checkpoint and print one completion and one chat answer
	@$(BIN)/python -m demo.show

test: $(READY) $(DEMO)/refact_edge.json ## Run the tests, but those that take long
	$(BIN)/python -m pytest tests $(ARGS)

test-slow: $(READY) $(DEMO)/refact_edge.json ## Run the tests that take long (6 minutes)
	REFACT_EDGE_SLOW=1 $(BIN)/python -m pytest -m slow tests $(ARGS)

test-real: $(READY) ## Test on real weights: SmolLM2-135M-Instruct, fetched, or MODEL=FOLDER (network, 2 GB of disk, 15 minutes)
	@$(BIN)/python -m bench.real $(REAL_DIR) $(if $(MODEL),--model $(MODEL)) $(ARGS)

# With Ctrl-C's tests in it: not to be started in the background, where that is ignored.
test-minimums: ## Run the tests with the oldest versions that pyproject.toml allows, torch aside (network, 15 minutes)
	@test -x $(MINIMUMS)/bin/python || $(PYTHON) -m venv $(MINIMUMS)
	@$(MINIMUMS)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(MINIMUMS)/bin/uv pip compile --quiet --no-header --no-annotate --resolution lowest-direct \
		--extra dev --constraint constraints.txt --output-file $(MINIMUMS)/pinned.txt pyproject.toml
	@$(MINIMUMS)/bin/python -m pip install --quiet --disable-pip-version-check -c $(MINIMUMS)/pinned.txt -e '.[dev]'
	$(MINIMUMS)/bin/python -m pytest tests

test-pythons: $(DEMO)/refact_edge.json ## Run the runtime's tests on PYTHONS, where they are, without torch (network, 8 minutes each)
	@for python in $(PYTHONS); do \
		$$python -c '' 2>/dev/null || { echo "$$python is not on this machine: skipped"; continue; }; \
		venv=build/pythons/$$(basename $$python); \
		test -x $$venv/bin/python || $$python -m venv $$venv || exit 1; \
		$$venv/bin/python -m pip install --quiet --disable-pip-version-check \
			-e '.[cpu,openvino,export,report,serve,lsp,test]' || exit 1; \
		$$venv/bin/python -m pytest tests/runtime || exit 1; \
	done

fuzz: $(READY) ## Open 10,000 hostile files in every way, or go on with it (10 to 40 minutes on 2 cores, ARGS="--seed 7")
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

C_FILES := $(wildcard runtime/backends/native/*.[ch] runtime/backends/native/*/*.[ch] tests/runtime/*/*.c tests/runtime/backends/native/*.[ch] tests/runtime/backends/native/*/*.[ch] tests/release/*.c bench/*.c bench/*/*.c)

check: $(READY) types ## Lint, check the format and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: $(READY) ## Format the code and sort imports
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

docs: $(LIGHT) ## Write docs/commands.md anew, after a change to a command's help
	@$(BIN)/python -m docs.commands

eval-canonical: $(READY) ## Judge all published HumanEval solutions, and empty ones (5 minutes)
	REFACT_EDGE_EVERY=1 $(BIN)/python -m pytest tests/quant/eval/test_benchmarks.py

types: $(READY) ## Check the types
	@mkdir -p build/view && ln -sfn ../.. build/view/refact_edge
	$(BIN)/mypy

fullsize: $(READY) ## Prove parity and measure at the full 1.6B shape (19 GB of disk, 8 GB of memory, about 12 minutes)
	$(BIN)/python -m bench.fullsize $(FULL_DIR)

fullsize-calibrate: $(READY) ## Calibrate and report at the full shape, and show the memory of each (6 GB of disk, half an hour and more)
	$(BIN)/python -m bench.calibration $(FULL_DIR)

PEERS := build/peers
# A virtual environment with llama.cpp in it, compiled for every kind of CPU: any can be forced then.
$(PEERS)/.ready: $(READY)
	@echo "compiling llama.cpp for all kinds of CPU into $(PEERS) (20 minutes, the first time) ..."
	@$(BIN)/python -m bench.peers.build $(PEERS)
	@touch $@

# Without its telemetry package, which it does not need: numpy is all that it asks for besides.
$(PEERS)/.ready-openvino: $(PEERS)/.ready
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps openvino==2026.4.1
	@touch $@

bench-peers: $(READY) $(PEERS)/.ready $(PEERS)/.ready-openvino ## Speed and memory beside llama.cpp and OpenVINO (80 minutes, 21 GB of disk, 11 GB of memory, MODEL=FOLDER of real weights, ARGS="--isa avx2", ARGS=--quick)
	@$(BIN)/python -m bench.peers $(PEERS_DIR) $(PEERS)/bin/python $(if $(MODEL),--model $(MODEL)) --json $(PEERS_DIR)/results.json $(ARGS)

bench-serve: $(READY) ## What HTTP costs a lone user beside the library, at the full shape (1 GB of disk, 5 minutes)
	@$(BIN)/python -m bench.serve $(ARGS)

native: $(LIGHT) ## Build the native kernels anew, after a change to them (needs a C compiler)
	@rm -rf build/lib* build/temp* && $(INSTALL) --no-deps -e .

native-emulated: ## Test the x86 kernels on an emulated CPU that has AMX and AVX-512 (Debian, 10 minutes, 700 MB of disk)
	@$(PYTHON) tests/runtime/backends/native/emulated build/emulated $(ARGS)

native-sanitized: $(READY) ## Run the native kernels under sanitizers (4 minutes)
	REFACT_EDGE_EVERY=1 $(BIN)/python -m pytest tests/runtime/backends/native/test_kernels.py

bench-native: $(READY) ## The native step beside onnxruntime's on BUNDLE
	@$(BIN)/python -m bench.native $(BUNDLE)

CLIENTS := build/clients
# Without the packages' own scripts: one would fetch CUDA's libraries.
test-clients: $(READY) $(DEMO)/refact_edge.json ## Run the tests that need other clients: chromium for the playground, onnxruntime-genai and transformers.js for bundles, published vocabularies (network, 500 MB)
	@command -v mcs >/dev/null || apt-get install -y -q mono-mcs mono-runtime libmono-system-runtime-serialization4.0-cil || echo "no Mono to be had: the tests of C# are skipped"
	@command -v chromium >/dev/null || apt-get install -y -q chromium || echo "no chromium to be had: its tests are skipped"
	@$(INSTALL) playwright PySide6-Essentials 'onnxruntime-genai==0.18.0'
	@$(INSTALL) --no-deps 'mistral-common==1.13.1'  # for its vocabularies
	@command -v npm >/dev/null && mkdir -p $(CLIENTS) && npm install --prefix $(CLIENTS) --silent --ignore-scripts --no-audit --no-fund @huggingface/transformers@4.3.2 \
		|| echo "no npm to be had: the tests of transformers.js are skipped"
	REFACT_EDGE_NPM=1 SAME_REQUESTS=200 $(BIN)/python -m pytest tests/runtime/serve/test_playground.py tests/runtime/serve/test_clients.py tests/export/test_loaders_clients.py tests/export/test_sentencepiece.py tests/examples tests/runtime/clients

SIGNING := build/model-signing
# Version 1.1.1 does not name pyOpenSSL, which it wants.
test-signing: $(READY) ## Sign with us and check with the package model-signing, and the other way round; tamper 10,000 times (network, 4 minutes)
	@test -x $(SIGNING)/bin/model_signing || { $(PYTHON) -m venv $(SIGNING) && \
		$(SIGNING)/bin/python -m pip install --quiet --disable-pip-version-check 'model-signing==1.1.1' pyOpenSSL; }
	TAMPERED=10000 REFACT_EDGE_MODEL_SIGNING=$(CURDIR)/$(SIGNING)/bin/model_signing $(BIN)/python -m pytest tests/runtime/trust $(ARGS)

GPU := build/gpu
GPU_SHAPES := refact-1.6b qwen2.5-coder-0.5b
# Without CUDA's libraries: a runtime that computes nothing stands in for them.
test-gpu-counts: $(READY) ## Count what a GPU is asked for, and play its faults, without one: on a CUDA runtime that computes nothing (network, 500 MB, 3 minutes)
	@test -x $(GPU)/venv/bin/python || $(PYTHON) -m venv $(GPU)/venv
	@$(GPU)/venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'onnxruntime-gpu==1.31.1' pytest -e .
	@test -d $(GPU)/headers || $(GPU)/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(GPU)/headers \
		'nvidia-cuda-runtime==13.5.37' 'nvidia-cuda-crt==13.5.37'
	@for shape in $(GPU_SHAPES); do \
		rm -rf $(GPU)/bundles/$$shape $(GPU)/checkpoint; \
		$(BIN)/refact-edge fabricate $(GPU)/checkpoint --shape $$shape --layers 2 && \
		$(BIN)/refact-edge export $(GPU)/checkpoint $(GPU)/bundles/$$shape --variants fp16,int4 --no-calibration --no-report || exit 1; \
	done; rm -rf $(GPU)/checkpoint
	REFACT_EDGE_GPU=$(CURDIR)/$(GPU) $(GPU)/venv/bin/python -m pytest --confcutdir=tests/gpu tests/gpu $(ARGS)

# A real model's weights lie on the grid of the file that they came in: they get noise first.
bench-fidelity: $(READY) $(PEERS)/.ready ## What int4 and int8 lose beside llama.cpp's formats, on the demo's held-out modules (after train-data) or with MODEL=FOLDER
	@$(BIN)/python -m bench.fidelity $(if $(MODEL),$(MODEL),demo/checkpoint) $(PEERS)/bin/python \
		$(if $(MODEL),--noise,--mixed --data $(DATA_DIR) --plot build/frontier.svg) $(ARGS)

train-data: $(READY) ## Install the packages the demo checkpoint learns from, and list what was taken (network, 700 MB)
	@$(BIN)/python -m demo.data --out $(DATA_DIR)

train-demo: $(READY) ## Train the demo checkpoint anew into build/demo-run, or go on (RECIPE=deep-holes MINUTES=90, no network)
	@$(BIN)/python -m demo.train --recipe $(RECIPE) --minutes $(MINUTES) --data $(DATA_DIR) --out $(RUN_DIR)

score-demo: $(READY) ## Print the demo checkpoint's figures on the held-out modules (after train-data, about 20 minutes)
	@$(BIN)/refact-edge export demo/checkpoint $(SCORE_DIR) --variants fp32,int8,int4 --force
	@$(BIN)/python -m demo.report $(SCORE_DIR) --variants fp32,int8,int4 --data $(DATA_DIR)

wheel: $(LIGHT) $(DEMO)/refact_edge.json ## Build the wheel for this machine, and that of the demo's bundle
	@rm -rf build/lib* build/temp* build/bdist* dist/refact_edge*.whl
	@$(BUILD_WITH) $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist . ./demo/wheel
	@ls dist

# Zig is 400 MB, for those who build wheels of other systems alone.
$(RELEASE): $(LIGHT) constraints-build.txt
	@echo "installing Zig and what looks into libraries into $(VENV) (100 MB to download) ..."
	@$(INSTALL) -c constraints-build.txt ziglang wheel lief
	@touch $@

wheels: $(RELEASE) ## Build the wheels of all systems into dist/all, by Zig (some minutes the first time)
	@rm -rf build/lib* build/temp* build/bdist* $(ALL_WHEELS)
	@PYTHONPATH=tests $(BIN)/python -m release.wheels $(ALL_WHEELS)

wheels-check: wheels ## Build them and look into each, and run the kernels' tests natively, under wine and qemu (10 minutes)
	@command -v wine qemu-aarch64 >/dev/null || apt-get install -y -q wine64 qemu-user libc6-arm64-cross musl || echo "what is missing is skipped"
	@PYTHONPATH=tests $(BIN)/python -m release.check $(ALL_WHEELS)

kits-check: $(READY) wheels ## Make kits of those for all systems and look into each; install this one's, under strace, without a network (Debian, network, 2 GB, 10 minutes)
	@command -v bwrap strace >/dev/null || apt-get install -y -q bubblewrap strace || echo "what is missing is skipped"
	REFACT_EDGE_WHEELS=$(CURDIR)/$(ALL_WHEELS) TAMPERED=10000 $(BIN)/python -m pytest -rs tests/release/test_kits.py tests/export/kit $(ARGS)

FROZEN := build/frozen
# PyInstaller wants a Python with a shared library, as Debian's and python.org's are.
FREEZER ?= $(PYTHON)
frozen-check: $(READY) wheel ## Freeze programs and the sidecar by PyInstaller, and run them without Python (Linux, network, 5 minutes)
	@test -x $(FROZEN)/bin/python || $(FREEZER) -m venv $(FROZEN)
	@$(FROZEN)/bin/python -m pip install --quiet --disable-pip-version-check 'pyinstaller==6.22.3' "$$(ls dist/refact_edge-*.whl)[sidecar]"
	REFACT_EDGE_FREEZER=$(CURDIR)/$(FROZEN)/bin/python $(BIN)/python -m pytest -s -q tests/frozen $(ARGS)

wheel-check: $(READY) $(DEMO)/refact_edge.json ## Build the wheel twice, elsewhere, and export from it: the same bytes (2 minutes, network)
	REFACT_EDGE_WHEEL=1 $(BIN)/python -m pytest tests/test_wheel.py

clean: ## Remove everything that was built, .venv included
	rm -rf $(VENV) build dist *.egg-info $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
