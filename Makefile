# Developer menu: `make` lists it.
.PHONY: help demo test lint types docs corpus

help:          ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'
demo:          ## check the shipped port, healthy and with a bug
	sh scripts/demo.sh
test:          ## set up and run the tests
	sh scripts/test.sh
lint:          ## ruff
	sh scripts/env.sh test && .venv/bin/ruff check .
types:         ## mypy, strict, on the package as a wheel installs it
	sh scripts/env.sh test && sh scripts/types.sh
docs:          ## build the documentation into site/
	sh scripts/env.sh test docs && .venv/bin/python -m sphinx -W --keep-going -q docs site
