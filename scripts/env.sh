#!/bin/sh
# Makes .venv: the project, CPU builds of both frameworks, and the extras named as arguments.
#   PYTHON       the Python to start from (3.10 or newer; default python3)
#   TORCH_INDEX  an index of CPU builds of PyTorch, where pip's own offers none
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "Python 3.10 or newer is needed; found $("$python" --version 2>&1). Name another one: PYTHON=python3.12 sh scripts/..." >&2
    exit 2
fi
extras=$(echo "$*" | tr ' ' ',')
stamp=.venv/ready-${extras:-demo}
wanted=$(cksum pyproject.toml requirements/frameworks.txt)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
index=${TORCH_INDEX:+--index-url $TORCH_INDEX}
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    # the default torch of some platforms brings CUDA, several gigabytes; look before fetching
    # shellcheck disable=SC2086
    if pip install --quiet --dry-run --report - $index -r requirements/frameworks.txt 2>/dev/null | grep -q '"name": "nvidia-'; then
        echo "pip would fetch a CUDA build of PyTorch, several gigabytes. Set TORCH_INDEX to PyTorch's index of CPU builds" >&2
        echo "(PyTorch's 'Get started' page names it), or install torch into .venv yourself, and start again." >&2
        exit 2
    fi
    echo "Installing CPU builds of PyTorch and PaddlePaddle into .venv ..." >&2
    # shellcheck disable=SC2086
    pip install --quiet $index "$(grep '^torch' requirements/frameworks.txt)"
fi
echo "Installing PaDiff-Graph into .venv ..." >&2
pip install --quiet -c requirements/frameworks.txt -e ".[frameworks${extras:+,$extras}]"
printf '%s\n' "$wanted" > "$stamp"
