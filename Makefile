# Everything a contributor runs. Each target sets the project up first; that is quick when nothing changed.
.PHONY: setup demo test soak faults check serve bench docs
.DEFAULT_GOAL := check

python := .venv/bin/python

setup:          ## .venv with locked dependencies and .venv/bin/paddock
	@tools/setup.sh

demo: setup     ## a real function, from nothing to a thumbnail
	@$(python) examples/demo.py

test: setup     ## on all cores, a file of tests at a time: make test ARGS="tests/unit -k config"
	$(python) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: setup     ## 10,000 invocations while parts of Paddock are killed, as root: make soak ARGS="seed"
	$(python) -m tests.soak $(ARGS)

faults: setup   ## 300 kills of the server and of functions; what was acknowledged is not lost: make faults ARGS="kills seed"
	$(python) -m tests.faults $(ARGS)

check: setup    ## format, lint, types, the house rules
	$(python) -m ruff format --check .
	$(python) -m ruff check .
	$(python) -m mypy
	$(python) -m pytest -q tests/house

serve: setup    ## make serve ARGS="--port 4600"
	@exec .venv/bin/paddock up $(ARGS)

bench: setup    ## cold and warm invokes as ratios against references in the same run
	$(python) -m bench $(ARGS)

docs: setup     ## the generated pages: docs/coverage.md, docs/settings.md
	$(python) -m tools.coverage
	$(python) -m tools.settings
