# Developer menu: `make` lists it.
.PHONY: help demo test coverage lint types style package picture docs

help:          ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'
demo:          ## check the shipped port, healthy and with a bug
	sh scripts/demo.sh
test:          ## set up and run the tests
	sh scripts/test.sh
coverage:      ## run the tests and measure which lines they run
	sh scripts/test.sh --cov --cov-report=term
lint:          ## ruff (rules, layout, complexity) and the import contracts
	sh scripts/env.sh test && sh scripts/lint.sh
types:         ## mypy, strict, on the package as a wheel installs it
	sh scripts/env.sh test && sh scripts/types.sh
style:         ## how long, how branched, how wide the code is, a row a folder
	sh scripts/env.sh test && .venv/bin/python scripts/style.py
package:       ## wheel and sdist: complete, and the README runs from the wheel
	sh scripts/env.sh test && .venv/bin/python -m pytest -q tests/packaging
picture:       ## draw the report that the README begins with
	sh scripts/env.sh && .venv/bin/python scripts/picture.py
docs:          ## build the documentation into site/
	sh scripts/env.sh test docs && .venv/bin/python -m sphinx -W --keep-going -q docs site
