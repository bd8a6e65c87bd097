# make demo   set up .venv and run the quick suite
# make test   set up .venv and run the tests; TESTS=tests/plan runs some of them
# make docs   set up .venv and build the site of docs/ into build/docs
PYTHON ?= python3
VENV ?= .venv
# Never its scripts: their first line cannot hold a path with a space.
RUN = $(VENV)/bin/python -m
READY = $(VENV)/.ready

.PHONY: demo test lint docs lock clean

demo: $(READY)
	$(RUN) dtcbench run quick

test: $(READY)
	$(RUN) pytest --numprocesses 2 --dist loadgroup $(TESTS)

lint: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

docs: $(READY)
	$(RUN) pip install --quiet --constraint requirements.lock --constraint extras.lock zensical
	$(RUN) zensical build --strict

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dtcbench needs Python 3.11 or newer; try: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --requirement requirements.lock
	$(RUN) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

# The newest versions pyproject.toml admits around one torch: a bare `torch` may bring gigabytes of CUDA.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet torch==2.13.0 'setuptools>=77'
	build/lock/bin/python -m pip install --quiet --editable '.[dev]'
	build/lock/bin/python -m pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' > requirements.lock
	build/lock/bin/python -m pip install --quiet --editable '.[dev,docs,loops,onnx]'
	build/lock/bin/python -m pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' | \
	  grep -vxFf requirements.lock > extras.lock

clean:
	rm -rf $(VENV) build .cache *.egg-info
