#!/bin/sh
# Sets everything up in .venv and checks a real port: once healthy, once with a bug put in.
set -eu
cd "$(dirname "$0")/.."
sh scripts/env.sh
exec .venv/bin/python examples/resnet_port.py
