"""Measures how dense the code is: `python scripts/style.py [FOLDER ...]`, one row a folder.

Lengths are code lines of functions (first to last line, docstring left out); complexity is radon's;
ternaries and nested comprehensions are counted a thousand lines.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from radon.complexity import cc_visit

FOLDERS = ("capture", "matching", "padiff_graph")
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
VAGUE = ("found", "one", "other")
HEAD = [
    "folder",
    "lines",
    "largest",
    "len50",
    "len90",
    "lenmax",
    "cc90",
    "cc>10%",
    ">100col",
    "tern/k",
    "nested/k",
    "comment%",
    "vague",
]


def main(folders: list[str]) -> None:
    """Prints the table."""
    print(" ".join(f"{word:>9}" for word in HEAD))
    for folder in folders or FOLDERS:
        print(" ".join(f"{cell:>9}" for cell in row(folder)))
    if not folders:
        print(" ".join(f"{cell:>9}" for cell in row(*FOLDERS)))


def row(*folders: str) -> list[str]:
    """One row of the table: the figures over the Python files below some folders or files."""
    texts = [path.read_text(encoding="utf-8") for path in _files(folders)]
    trees = [ast.parse(text) for text in texts]
    lines = [line for text in texts for line in text.splitlines()]
    thousands = len(lines) / 1000
    lengths = sorted(_length(function) for tree in trees for function in _functions(tree))
    complexities = sorted(block.complexity for text in texts for block in _blocks(text))
    nodes = [node for tree in trees for node in ast.walk(tree)]
    nested = sum(_nested(node) for node in nodes)
    return [
        "+".join(folders)[-9:],
        str(len(lines)),
        str(max(len(text.splitlines()) for text in texts)),
        f"{statistics.median(lengths):g}",
        str(_quantile(lengths, 0.9)),
        str(lengths[-1]),
        str(_quantile(complexities, 0.9)),
        f"{100 * sum(value > 10 for value in complexities) / len(complexities):.1f}",
        str(sum(len(line) > 100 for line in lines)),
        f"{sum(isinstance(node, ast.IfExp) for node in nodes) / thousands:.1f}",
        f"{nested / thousands:.1f}",
        f"{100 * sum(line.lstrip().startswith('#') for line in lines) / len(lines):.1f}",
        str(sum(_vague(node) for node in nodes)),
    ]


def _files(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        place = Path(folder)
        # the links padiff_graph/capture and padiff_graph/matching are counted at the root
        yield from [place] if place.is_file() else _own(place)


def _own(place: Path) -> Iterator[Path]:
    for path in sorted(place.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _own(path)
        elif path.suffix == ".py":
            yield path


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    return length - (first.end_lineno or 0) + first.lineno - 1 if documented else length


def _blocks(text: str) -> Iterator[object]:
    for block in cc_visit(text):
        if type(block).__name__ == "Function":
            yield block


def _nested(node: ast.AST) -> bool:
    if not isinstance(node, COMPREHENSIONS):
        return False
    inner = (child for child in ast.walk(node) if child is not node)
    return len(node.generators) > 1 or any(isinstance(child, COMPREHENSIONS) for child in inner)


def _vague(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE


def _quantile(values: list[int], share: float) -> int:
    return values[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    main(sys.argv[1:])
