# kgrecall: every target sets up what it needs and may be run twice.
#   make demo            the main job on real data, no server      make demo STORE=neo4j   the same on a local Neo4j
#   make test            the whole test suite                      make lint types         what CI checks first
#   make test-neo4j      the tests of the Neo4j store against its newest release (VERSION=2026.05.0; needs Java 21 or later)
#   make bench           list the benchmarks                       make bench NAME=snapshot  run one
#   make fuzz            random bytes against the readers          make neo4j-stop           stop the local Neo4j
#   make PYTHON=python3.12 VENV=env ...                            another interpreter, another environment

PYTHON ?= python3
VENV   ?= .venv
STORE  ?=
NAME   ?=
VERSION ?= 2026.05.0
PY     := $(VENV)/bin/python
UV     := $(VENV)/.uv/bin/uv

.PHONY: help demo test test-neo4j lint types check bench fuzz neo4j-stop clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

# One environment in the folder, filled by uv. uv itself is fetched with pip into a folder of its own, so that neither
# python3-venv nor a writable system Python is needed.
$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/.uv uv

$(PY): | $(UV)
	$(UV) venv --quiet --allow-existing --seed --python $(PYTHON) $(VENV)

# A torch that is there already and fits pyproject.toml (a CPU build, say) is kept: its version replaces the pin.
define install
	@$(PY) -c "import importlib.metadata as m, pathlib; pins = pathlib.Path('constraints.txt').read_text().splitlines(); \
	here = [d.version for d in m.distributions() if (d.metadata['Name'] or '').lower() == 'torch']; \
	fits = here and tuple(map(int, here[0].split('+')[0].split('.')[:2])) >= (2, 4); \
	keep = ['torch==' + here[0] if fits and p.startswith('torch==') else p for p in pins]; \
	pathlib.Path('$(VENV)/constraints.txt').write_text('\n'.join(keep) + '\n')"
	$(UV) pip install --quiet --python $(PY) --constraint $(VENV)/constraints.txt --editable '.[$(1)]'
	@touch $@
endef

$(VENV)/.ready-demo: pyproject.toml constraints.txt | $(PY)
	$(call install,demo)

$(VENV)/.ready-test: pyproject.toml constraints.txt | $(PY)
	$(call install,test)

demo: $(VENV)/.ready-demo
	$(if $(filter neo4j,$(STORE)),$(PY) -m kgrecall neo4j start)
	$(PY) -m kgrecall demo $(if $(STORE),--store $(STORE))

# Two workers with one thread each: matrices of tests are small, and threads that wait for each other take five times as long.
test: $(VENV)/.ready-test
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadgroup

test-neo4j: $(VENV)/.ready-test
	KGRECALL_NEO4J_VERSION=$(VERSION) KGRECALL_REQUIRE_NEO4J=1 $(PY) -m pytest -m neo4j

lint: $(VENV)/.ready-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.ready-test
	$(PY) -m mypy

check: lint types test

bench: $(VENV)/.ready-test
	$(UV) pip install --quiet --python $(PY) --requirement tests/benchmarks/requirements.txt
	$(PY) -m tests.benchmarks $(NAME)

fuzz: $(VENV)/.ready-test
	$(UV) pip install --quiet --python $(PY) atheris
	$(PY) -m tests.fuzz.readers $(or $(SECONDS),120)

neo4j-stop: $(VENV)/.ready-demo
	$(PY) -m kgrecall neo4j stop

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
