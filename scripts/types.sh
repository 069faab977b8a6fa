#!/bin/sh
# Type-checks the package laid out as a wheel lays it out: the folders at the root become one package.
set -eu
cd "$(dirname "$0")/.."
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -R padiff_graph "$tree/"
cp -R capture matching "$tree/padiff_graph/"
config=$PWD/pyproject.toml
python=${PYTHON:-$PWD/.venv/bin/python}
cd "$tree"
"$python" -m mypy --config-file "$config" -p padiff_graph
