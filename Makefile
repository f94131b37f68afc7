# make alone lists what can be made.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python
WORKERS ?= 2
TESTS := $(RUN) -m pytest -n $(WORKERS) --dist worksteal
KERNELS := KERNELS_MUST_RUN=1 TRITON_INTERPRET=1 $(RUN) -m pytest tests/kernels -m kernels
# Without bytecode on disk every process that tests start would compile all of src/, and pytest every test, each time anew.
unexport PYTHONDONTWRITEBYTECODE
HAS_TRITON := $(RUN) -c 'import importlib.util as u; raise SystemExit(not u.find_spec("triton"))'

.PHONY: help demo check types quick test kernels thorough coverage format bench soak docs clean
help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

# The last line marks the environment as whole, so that a broken install is never taken for one.
.venv/ready: pyproject.toml constraints.txt
	@echo "setting up .venv (once; the packages are about 1 GB)"
	@test -x $(RUN) || $(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[test,lint]'
	@$(RUN) -c 'import unstill, torch, diffusers, mypy' && touch $@

demo: .venv/ready  ## animate a picture of examples/ and say where the clip is
	@$(RUN) examples/demo.py $(PICTURE)

check: .venv/ready  ## lint, types, layers, unit and contract tests; 1 to 2 minutes
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory -j2 types quick

types:
	@$(BIN)/mypy

quick:
	@$(TESTS) tests/unit tests/contract -m 'not slow and not gpu and not browser and not thorough'

test: .venv/ready  ## everything a change could break and that needs no GPU; 8.5 to 13 minutes on two cores
	@$(TESTS)
	@if $(HAS_TRITON); then $(KERNELS); else echo "Triton is not installed: its kernels did not run (make kernels, 198 MB)"; fi

kernels: .venv/ready  ## every Triton kernel in Triton's interpreter, on the CPU; installs Triton, 198 MB
	@$(HAS_TRITON) || $(BIN)/pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[kernels]'
	@$(KERNELS)

thorough: .venv/ready  ## all of that, and long runs: kills at random, fault matrices, clusters, compiling
	@$(TESTS) -m 'not gpu and not kernels'
	@$(MAKE) --no-print-directory kernels

coverage: .venv/ready  ## branch coverage of `make test`, processes that tests start included
	@$(TESTS) --cov --cov-report=term --cov-report=json:build/coverage.json

format: .venv/ready  ## put the code in order
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

bench: .venv/ready  ## what can be measured on this machine: start-up; with a GPU also a full-size clip
	@$(RUN) bench/start_up.py
	@! $(RUN) -c 'import torch; raise SystemExit(not torch.cuda.is_available())' || $(RUN) bench/full_clip.py --folder build/svd-random

soak: .venv/ready  ## kill workers and the server a thousand times, and see what is lost; half an hour
	@$(RUN) tests/soak.py $(KILLS)

docs: .venv/ready  ## write docs/reference from the code
	@$(RUN) docs/build_reference.py

clean:  ## remove the environment and what was made
	rm -rf .venv build dist clips
