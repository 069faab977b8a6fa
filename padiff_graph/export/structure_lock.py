"""The structure lock: a model's structure as a small text file, held against the model in tests."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from padiff_graph.capture.api import capture_graph
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode
from padiff_graph.capture.normal.normalize import normalize
from padiff_graph.file_writing import write_text
from padiff_graph.printable import code_comment

__all__ = ["hold", "structure_lines"]

HEAD = (
    "# Structure of a model, held by padiff-graph's structure_lock. "
    "Write anew: pytest --update-structure-locks\n"
)
CONTEXT = 2
"""Lines around a change; chosen so that one sees where it is."""
SHOWN = 60
"""Lines of a diff; chosen so that it stays one screen or two."""


def hold(model: Any, example: Mapping[str, Any], path: Path, *, update: bool = False) -> None:
    """Holds a model against its lock, or writes the lock.

    Raises:
        AssertionError: with the smallest diff, where the structure differs; or where there is no
            lock yet.
        CaptureError: the model cannot be captured.
    """
    __tracebackhide__ = True
    lines = structure_lines(normalize(capture_graph(model, example, certify=False)))
    if update:
        write_text(path, HEAD + "\n".join(lines) + "\n")
        return
    if not path.exists():
        raise AssertionError(
            f"there is no structure lock at {path}; "
            "write it with pytest --update-structure-locks and commit it"
        )
    held = path.read_text(encoding="utf-8").removeprefix(HEAD).splitlines()
    if held != lines:
        raise AssertionError(
            f"the structure differs from {path.name} (- locked, + now):\n"
            + "\n".join(_difference(held, lines))
            + "\nif this is meant: pytest --update-structure-locks"
        )


def structure_lines(normal: NormalGraph) -> list[str]:
    """One line an operation: module, name, operator, attributes, operands.

    Names count within a module, so that a change in one place leaves the other lines as they are.
    """
    names = _names(normal)
    lines = []
    for node in normal.nodes:
        if node.op in ("Input", "Parameter"):
            lines.append(f"{names[node.id]} {_types(node)}")
        elif not node.leaf:
            lines.append(_operation(node, names))
    lines += [f"output {name} = {_operand(edge, names)}" for name, edge in normal.outputs.items()]
    return [code_comment(line) for line in lines]


def _names(normal: NormalGraph) -> dict[int, str]:
    names: dict[int, str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for node in normal.nodes:
        place = (node.path, node.op)
        if not node.leaf:
            number = f"#{counts[place]}" if counts[place] else ""
            names[node.id] = f"{node.path or '.'}/{node.op}{number}"
            counts[place] += 1
        elif node.name:
            names[node.id] = f"{node.op.lower()}:{node.name}"
        else:
            names[node.id] = _constant(node)
    return names


def _operation(node: NormalNode, names: Mapping[int, str]) -> str:
    operands = ", ".join(_operand(edge, names) for edge in node.inputs)
    line = f"{names[node.id]}({operands})"
    if node.attrs:
        attrs = ", ".join(f"{key}={_value(value)}" for key, value in sorted(node.attrs.items()))
        line += f" {{{attrs}}}"
    return " ".join([line, _types(node), *sorted(node.marks)])


def _constant(node: NormalNode) -> str:
    if node.constant is not None and node.constant.size == 1:
        number = node.constant.reshape(-1)[0]
        return f"{number:.6g}" if node.constant.dtype.kind in "fiu" else str(number)
    return f"constant{list(node.outputs[0].shape)}" if node.outputs else "constant"


def _types(node: NormalNode) -> str:
    return " ".join(f"{kind.dtype}{list(kind.shape)}" for kind in node.outputs)


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _operand(edge: Edge | None, names: Mapping[int, str]) -> str:
    if edge is None:
        return "-"
    text = names[edge.source] + (f":{edge.output}" if edge.output else "")
    if edge.scale != 1.0:
        text = f"{edge.scale:.6g}*{text}"
    if edge.shift:
        text += f"{edge.shift:+.6g}"
    if edge.view is not None and not edge.view.identity:
        text += f"@{list(edge.view.shape)}<{_hash(edge)}>"
    return text


def _hash(edge: Edge) -> str:
    """A short name of the movement, equal on every machine."""
    assert edge.view is not None
    stages = [(stage.shape, stage.steps, stage.offset) for stage in edge.view.stages]
    return hashlib.sha256(repr(stages).encode()).hexdigest()[:6]


def _difference(held: list[str], lines: list[str]) -> list[str]:
    diff = difflib.unified_diff(held, lines, "locked", "now", lineterm="", n=CONTEXT)
    changes = [line for line in diff if not line.startswith(("---", "+++"))]
    if len(changes) > SHOWN:
        return [*changes[:SHOWN], f"... and {len(changes) - SHOWN} more lines"]
    return changes
