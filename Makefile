# make demo    install, fetch the models and the sample pictures, write and illustrate one article
# make test    install what the tests need and run all that need no network and no GPU
# make app     install, fetch the same, and serve the page at http://127.0.0.1:7860
# make check   what a change must pass: ruff, mypy, tests
# make lock    renew requirements/, the exact releases with hashes that all of these install
# make test-newest  the tests against the newest releases that pyproject.toml allows, in .venv-newest
# make clean   remove the environments and what tools left; models, libraries and articles stay
#
# PYTHON=/path/to/python3.11 chooses the Python; VIGNETTE_HOME=/large/disk moves models and sample pictures;
# WORKERS=4 runs the tests in four processes, not two.

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
LOCKS := $(wildcard requirements/*.txt)
STARTED := $(shell date +%s)
# The first Python that fits; python3 where none does, so that install.py says what is wrong with it.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && exit; \
	done; echo python3)

.DEFAULT_GOAL := help
.PHONY: help demo test test-newest app check lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,10p'

demo: $(VENV)/.installed
	@$(BIN)/python scripts/demo.py --started $(STARTED)

app: $(VENV)/.installed
	@$(BIN)/vignette models pull >/dev/null
	@$(BIN)/vignette library sample >/dev/null
	@$(BIN)/vignette app

define run-tests
	@scripts/chromium.sh
	@$(1)/vignette models pull smollm2-135m-instruct efficientnet-lite2 efficientnet-lite1 efficientnet-lite0 \
		minilm-l6-v2 all-mpnet-base-v2 >/dev/null
	@$(1)/python -m pytest -n $(WORKERS)
endef

test: $(VENV)/.installed-dev
	$(call run-tests,$(BIN))

test-newest:
	@$(PYTHON) scripts/install.py --venv .venv-newest --dev --newest
	$(call run-tests,.venv-newest/bin)

lock:
	@$(PYTHON) scripts/lock.py

check: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(MAKE) --no-print-directory test

clean:
	rm -rf $(VENV) .venv-newest .venv-lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml scripts/install.py $(LOCKS)
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "make: there is no $(PYTHON) here; install Python 3.11, or name one: make demo PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(PYTHON) scripts/install.py --venv $(VENV)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml scripts/install.py $(LOCKS)
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "make: there is no $(PYTHON) here; install Python 3.11, or name one: make test PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(PYTHON) scripts/install.py --venv $(VENV) --dev
	@touch $@ $(VENV)/.installed
