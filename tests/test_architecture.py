"""Arrows point down, each framework is imported in its own folder only, and importing costs nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"padiff_graph": 2, "matching": 1, "capture": 0}
"""Height of each folder: it may import what stands lower."""
HOMES = {
    "torch": "capture/torch",
    "paddle": "capture/paddle",
    "onnx": "capture/onnx",
    "onnxruntime": "capture/onnx",
}


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        for place, _, files in os.walk(ROOT / folder):  # links are not followed
            yield from (Path(place) / file for file in sorted(files) if file.endswith(".py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def folder_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "padiff_graph":
        return ""
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS else "padiff_graph"


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports(path: Path) -> None:
    own = path.relative_to(ROOT)
    for module in imports(path):
        target = folder_of(module)
        if target:
            assert FOLDERS[target] <= FOLDERS[own.parts[0]], (
                f"{own} imports {module}, which stands above it"
            )
        home = HOMES.get(module.split(".")[0])
        if home is not None:
            assert str(own.parent).startswith(home), f"{own} imports {module}; only {home} may"


def test_importing_loads_no_framework() -> None:
    code = "import sys, padiff_graph; print([name for name in ('torch', 'paddle', 'onnx', 'networkx', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_folder_with_code_is_a_package_with_a_map() -> None:
    for path in sources():
        marker = path.parent / "__init__.py"
        assert marker.exists(), f"{path.parent} has no __init__.py"
        assert ast.get_docstring(ast.parse(marker.read_text())), f"{marker} says nothing"
