#!/bin/sh
# Sets everything up in .venv and runs the tests; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/env.sh test
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
