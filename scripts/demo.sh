#!/bin/sh
# Sets everything up in .venv and checks a real port: once healthy, once with two bugs put in.
set -eu
cd "$(dirname "$0")/.."
sh scripts/env.sh
echo
.venv/bin/padiff-graph demo
