"""What import contracts (pyproject.toml) do not say.

Importing is cheap, every room says what it is.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import padiff_graph

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("padiff_graph", "matching", "capture")


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        for place, _, files in os.walk(ROOT / folder):  # links are not followed
            yield from (Path(place) / file for file in sorted(files) if file.endswith(".py"))


def typed_imports() -> Iterator[tuple[str, str]]:
    """(name, module) of what editors and type checkers see in the package's `__init__`."""
    tree = ast.parse((ROOT / "padiff_graph" / "__init__.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("padiff_graph"):
            yield from ((alias.name, node.module or "") for alias in node.names)


def test_importing_loads_no_framework() -> None:
    heavy = ("torch", "paddle", "onnx", "networkx", "rich")
    code = f"import sys, padiff_graph; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_those_that_type_checkers_see() -> None:
    typed = dict(typed_imports())
    assert {*typed} | {"__version__"} == {*padiff_graph.__all__}
    for name, module in typed.items():
        assert getattr(padiff_graph, name) is getattr(import_module(module), name)


def test_every_folder_with_code_is_a_package_with_a_map() -> None:
    for path in sources():
        marker = path.parent / "__init__.py"
        assert marker.exists(), f"{path.parent} has no __init__.py"
        assert ast.get_docstring(ast.parse(marker.read_text())), f"{marker} says nothing"
