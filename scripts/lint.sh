#!/bin/sh
# Layout, complexity and import contracts: ruff and import-linter, both set up in pyproject.toml.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/lint-imports --no-logo --no-cache
