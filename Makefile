# Two commands do everything on a machine with Python >= 3.11, pip and apt:
#   make demo   set up, then the main job on simulated data
#   make test   set up, then the whole test suite
VENV ?= .venv
BIN := $(VENV)/bin
# Where the demo writes; xfelsort-demo, or the first such name that is free.
OUT ?=
PYTEST_ARGS ?=
# That share the tests (tests/conftest.py says which goes where); 0 for all in one.
TEST_PROCESSES ?= 2
# Threads that wait for each other make small fits a hundred times slower on a busy machine.
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: help demo test search lint format bench clean

help:
	@echo "make demo    set up, then simulate, label, train and sort (writes xfelsort-demo/)"
	@echo "make test    set up, then run all tests on a virtual display"
	@echo "make search  look for new examples that property tests fail on"
	@echo "make lint    style and types"
	@echo "make format  put the style right"
	@echo "make bench   benchmarks against named references"
	@echo "make clean   remove the environment and caches"

$(VENV)/.installed-base: pyproject.toml tools/make-environment
	tools/make-environment $(VENV) base

$(VENV)/.installed-dev: pyproject.toml tools/make-environment
	tools/make-environment $(VENV) dev

demo: $(VENV)/.installed-base
	$(BIN)/xfelsort demo $(OUT)

test: $(VENV)/.installed-dev
	tools/install-system-packages
	tools/install-system-packages chromium
	$(ONE_THREAD) tools/with-display $(BIN)/python -m pytest -n $(TEST_PROCESSES) $(PYTEST_ARGS)

search: $(VENV)/.installed-dev
	$(ONE_THREAD) tools/with-display $(BIN)/python -m pytest -m hypothesis --hypothesis-profile=search $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
