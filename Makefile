# Each target does its own set-up: on a machine with Python 3.11 or newer and nothing else, `make figures` is enough.
#   PYTHON=python3.12 make test     uses that interpreter (only when .venv does not exist yet)
#   make figures OUT=elsewhere ARGS='--quick --only cliff_profile'
# With uv on the path it makes the environment and installs; otherwise venv and pip do.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
OUT := figures
ARGS :=
# A stamp for each set of packages: newer than pyproject.toml means installed.
CORE := $(VENV)/.installed-core
DEV := $(VENV)/.installed-dev
BROWSER := $(VENV)/.installed-browser
BENCH := $(VENV)/.installed-bench
DOCS := $(VENV)/.installed-docs
LINT := $(VENV)/.installed-lint
UV := $(shell command -v uv 2>/dev/null)
ifeq ($(UV),)
# Without byte code, which Python writes for the modules that are used: a fifth of the installation's time.
INSTALL = $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check --no-compile
else
INSTALL = uv pip install --quiet --python $(BIN)/python
endif

# The tests that drive a browser take the system's; where there is none they are skipped, and say what to install.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
DRIVEN := $(if $(CHROMIUM),$(BROWSER))

# Around what is silent for long: a line every half minute where standard error is no terminal. The loop ends with
# its recipe, even where that is killed, and its sleep holds no pipe open.
BEGIN = { test -t 2 || while sleep 29 2>/dev/null && kill -0 $$$$ 2>/dev/null; do echo "... still at it" >&2; done; } \
  </dev/null >/dev/null & beat=$$!;
END = ; code=$$?; kill $$beat 2>/dev/null; exit $$code

.DEFAULT_GOAL := help
.PHONY: help figures test shapes soak peers mutants notebooks bench docs lint clean

help:
	@echo "make figures    every published figure, with report.json and report.md, into $(OUT)/"
	@echo "make test       the test suite, with the notebooks that are quick"
	@echo "make soak       the tests that take minutes"
	@echo "make peers      cells of other frameworks in their own runtimes (installs gigabytes), into docs/peers.md"
	@echo "make mutants    which of 300 small faults the tests notice, in hours"
	@echo "make notebooks  run the notebooks anew and write them beside their sources"
	@echo "make bench      benchmarks: ratios to C, NumPy and numba"
	@echo "make docs       the documentation site, into site/; every link checked, nothing loaded from elsewhere"
	@echo "make lint       ruff and pyright"
	@echo "make clean      remove the environment, caches, site/ and $(OUT)/"

figures: $(CORE)
	$(BIN)/rnn-dynamics reproduce --out "$(OUT)" $(ARGS)

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
SHIPPED = $(shell grep -l "mark.shipped" tests/test_*.py)

# The tests marked shipped take XLA's own settings, which a process has from its start; without ARGS only the files
# that have some are collected. Of the tests that ARGS chooses all may be of one kind: pytest ends with 5 where it has
# nothing to run.
test: $(DEV) $(DRIVEN)
	$(PYTEST) $(ARGS) || [ $$? -eq 5 ]
	$(PYTEST) -m "shipped and not soak" $(or $(ARGS),$(SHIPPED)) || [ $$? -eq 5 ]

# Tests that are run with every call held against its annotations.
SHAPED = $(addprefix tests/test_,$(addsuffix .py,cells gated equilibria basins phases slow_units orbit_ends bounds credit scaled))

shapes: $(DEV)
	CHECK_SHAPES=1 $(BIN)/python -m pytest $(SHAPED) $(ARGS)

soak: $(DEV) $(DRIVEN)
	$(BIN)/python -m pytest -m soak -o timeout=3600 $(ARGS)

# Each framework is installed into .cache/peers and run in a process of its own.
peers: $(DEV)
	$(BIN)/python -m pytest -m peers tests/test_peers.py $(ARGS)

mutants: $(DEV)
	$(BIN)/python -m tests.mutation $(ARGS)

notebooks: $(DEV)
	$(BIN)/python notebooks/execute.py $(ARGS)

bench: $(BENCH)
	$(BIN)/python -m benchmarks $(ARGS)

# The gallery shows the pictures of `make figures`, and quick ones, drawn once, of figures that are not there.
docs: $(DOCS)
	$(BIN)/python docs/hooks/gallery.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

lint: $(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "$(BIN)/pyright --pythonpath $(BIN)/python"
	@$(BEGIN) $(BIN)/pyright --pythonpath $(BIN)/python $(END)

clean:
	rm -rf $(VENV) "$(OUT)" build dist site .pytest_cache .ruff_cache .hypothesis .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CORE): pyproject.toml | $(BIN)/python
	@echo "Installing the library into $(VENV) (once) ..."
	@$(BEGIN) $(INSTALL) -e . $(END)
	@touch $@

$(DEV): $(CORE)
	@echo "Installing what the tests need (once) ..."
	@$(BEGIN) $(INSTALL) -e ".[dev,ode,data]" $(END)
	@touch $@

$(LINT): $(DEV)
	@echo "Installing ruff and pyright (once) ..."
	@$(BEGIN) $(INSTALL) -e ".[lint]" $(END)
	@touch $@

$(BROWSER): $(DEV)
	@echo "Installing what drives $(CHROMIUM) in the tests (once) ..."
	@$(BEGIN) $(INSTALL) -e ".[browser]" $(END)
	@touch $@

$(BENCH): $(CORE)
	@echo "Installing what the benchmarks need (once) ..."
	@$(BEGIN) $(INSTALL) -e ".[bench]" $(END)
	@touch $@

$(DOCS): $(CORE)
	@echo "Installing what the site needs (once) ..."
	@$(BEGIN) $(INSTALL) -e ".[docs]" $(END)
	@touch $@

# The first interpreter that is new enough: $(PYTHON) if given, else python3 and its numbered names.
$(BIN)/python:
	@new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	found=; \
	for name in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$name" -c "$$new_enough" >/dev/null 2>&1; then found=$$name; break; fi; \
	done; \
	if [ -n "$(UV)" ]; then \
	  exec uv venv --quiet --allow-existing --python "$${found:-$(or $(PYTHON),>=3.11)}" $(VENV); \
	fi; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or newer is needed; found: $$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1)." >&2; \
	  echo "Name one that is new enough: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	  version=$$("$$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "This Python ($$found) cannot make virtual environments. On Debian and Ubuntu install the missing part:" >&2; \
	  echo "    sudo apt install python$$version-venv" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version) ..."; \
	"$$found" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
