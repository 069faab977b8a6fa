#!/bin/sh
# Type-checks the package, mypy strict. capture/ and matching/ are linked into padiff_graph/, so one name covers all.
set -eu
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m mypy -p padiff_graph
