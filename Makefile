# make alone lists what can be made.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python

.PHONY: help demo test thorough check format bench soak docs clean
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

test: .venv/ready  ## everything that needs no GPU, under ten minutes on two cores
	$(RUN) -m pytest -n 2 --dist worksteal

thorough: .venv/ready  ## what takes long and shows what shorter tests show too
	$(RUN) -m pytest -n 2 --dist worksteal -m thorough

check: .venv/ready  ## lint, format, types, layers, fast tests, under a minute
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	@$(RUN) -m pytest tests/unit tests/contract -n 2 -m 'not slow and not gpu and not browser and not thorough'

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
