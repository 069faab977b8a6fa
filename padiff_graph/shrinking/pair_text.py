"""A piece as the source of two small models, and a script around them that runs alone.

Names of the user's models stand in comments only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from padiff_graph.capture.abilities import Known
from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Node, Value
from padiff_graph.export.repro_text import SHOW, Comparison, called
from padiff_graph.printable import code_comment, docstring_line
from padiff_graph.report.source_lines import short_source
from padiff_graph.report.wording import noun
from padiff_graph.shrinking.piece import Leaf, Piece, SidePiece

__all__ = ["CLASSES", "arrays_of", "pair_text"]

CLASSES = ("First", "Second")
LABELS = ("first", "second")
BASES = {"torch": "torch.nn.Module", "paddle": "paddle.nn.Layer"}
INLINE = 16
"""Elements up to which a constant stands in the source; chosen so that a line stays readable."""
NUMPY_LACKS = frozenset({"bfloat16"})
"""Dtypes that numpy's files cannot hold."""

ALONE = '''\
def run(model, inputs, framework):
    """Outputs and gradients of one model by name, under the saved cotangents."""
    leaf, array = globals()[f"{framework}_leaf"], globals()[f"{framework}_array"]
    fed = {name: leaf(value, dtype) for name, (value, dtype) in inputs().items()}
    outputs = model(**fed)
    names = [f"output {number}" for number in range(len(outputs))]
    weights = dict(model.named_parameters())
    leaves = {**fed, **weights}
    cotangents = [saved[f"cotangent_{type(model).__name__}_{n}"] for n in range(len(outputs))]
    learning = [number for number, seed in enumerate(cotangents) if seed.dtype.kind == "f"]
    gradients = globals()[f"{framework}_gradients"](
        [outputs[number] for number in learning],
        [cotangents[number] for number in learning],
        list(leaves.values()),
    )
    return dict(zip(names, map(array, outputs))), dict(zip(leaves, gradients))
'''


def arrays_of(piece: Piece) -> dict[str, Array]:
    """What the source of a piece reads, by key."""
    saved: dict[str, Array] = {}
    for label, side in zip(LABELS, piece.sides, strict=True):
        for leaf in side.leaves.values():
            if not _inline(leaf):
                saved[f"{label}_{leaf.name}"] = leaf.array
    return saved


def pair_text(
    piece: Piece,
    told: Sequence[str] = ("A small pair.",),
    comparisons: Sequence[Comparison] = (),
) -> str:
    """The source: both models, their inputs, `pair()`, and what is printed when it runs.

    Args:
        piece: what to write.
        told: lines of the docstring; data, whatever they hold.
        comparisons: what the script lays beside each other.

    Raises:
        NotRunnable: an operation cannot be written as a call.
    """
    frameworks = sorted({side.framework for side in piece.sides})
    head = [
        '"""' + docstring_line(told[0]),
        *(docstring_line(line) for line in told[1:]),
        '"""',
        "",
        "import sys",
        "from pathlib import Path",
        "",
        "import numpy as np",
        *(f"import {framework}" for framework in frameworks),
        "",
        'saved = np.load(Path(__file__).with_suffix(".npz"))',
        'DOUBLE = "--double" in sys.argv and __name__ == "__main__"',
        "",
        "",
    ]
    body = []
    for label, name, side in zip(LABELS, CLASSES, piece.sides, strict=True):
        body += [*_model(side, label, name), *_inputs(side, label)]
    body += [*_pair(piece), *ALONE.splitlines(), "", "", *SHOW.splitlines(), "", ""]
    body += _main(piece, comparisons)
    needs = [*body, *(f"{name}_leaf {name}_array {name}_gradients" for name in frameworks)]
    for framework in frameworks:
        body = [*called(needed(backend(framework).scripts).PRELUDE, needs), *body]
    return "\n".join([*head, *body]) + "\n"


def _model(side: SidePiece, label: str, name: str) -> list[str]:
    """One model as a class."""
    fed = [leaf.name for leaf in side.leaves.values() if leaf.fed]
    count = len(side.nodes)
    lines = [
        f"class {name}({BASES[side.framework]}):",
        f'    """{side.framework}: {count} {noun("operations", count)}."""',
        "",
        "    def __init__(self):",
        "        super().__init__()",
        *(f"        {line}" for line in _held(side, label)),
        "",
        f"    def forward({', '.join(['self', *fed])}):",
        *(f"        {line}" for line in _statements(side)),
    ]
    names = _names(side)
    lines.append(f"        return [{', '.join(names[value] for value in side.outputs)}]")
    return [*lines, "", ""]


def _held(side: SidePiece, label: str) -> Iterator[str]:
    """Parameters, buffers and large constants."""
    framework = side.framework
    owner = "self, " if framework == "paddle" else ""
    for leaf in side.leaves.values():
        if leaf.fed or _inline(leaf):
            continue
        given = f'saved["{label}_{leaf.name}"], "{leaf.dtype}"'
        if leaf.kind == "parameter":
            value = f"{framework}_parameter({owner}{given}, {leaf.trained})"
            line = f"self.{leaf.name} = {value}"
        else:
            value = f"{framework}_leaf({given}).detach()"
            line = f'self.register_buffer("{leaf.name}", {value})'
        yield line + (f"  # {code_comment(leaf.label)}" if leaf.label else "")


def _inline(leaf: Leaf) -> bool:
    """Whether a leaf stands in the source."""
    return leaf.kind == "constant" and leaf.array.size <= INLINE


def _statements(side: SidePiece) -> list[str]:
    """The operations; numbers that only others' arguments name are no statements."""
    script = needed(backend(side.framework).scripts)
    names = _names(side)
    calls: list[tuple[Node, str]] = []
    for node in side.nodes:
        operands = ["None" if value is None else names[value] for value in node.inputs]
        calls.append((node, script.expression(node, operands, model=True)))
    kept: list[str] = []
    text = " ".join(names[value] for value in side.outputs)
    for node, call in reversed(calls):
        if re.search(rf"\bv{node.id}\[", text) is None:
            continue
        text += call
        place = f"{node.path or '(root)'}, {short_source(node.source)}" if node.source else ""
        comment = f"  # {code_comment(place)}" if place else ""
        kept.append(f"v{node.id} = {call}{comment}")
    return kept[::-1]


def _names(side: SidePiece) -> dict[Value, str]:
    """How the model's forward calls each value."""
    names: dict[Value, str] = {}
    for value, leaf in side.leaves.items():
        names[value] = leaf.name if leaf.fed else f"self.{leaf.name}"
        if _inline(leaf):
            names[value] = Known(
                _constant(side.framework, leaf), tuple(leaf.array.reshape(-1).tolist())
            )
    for node in side.nodes:
        for output in range(max(len(node.outputs), 1)):
            name = f"v{node.id}[{output}]"
            known = _numbers(node)
            names[Value(node.id, output)] = name if known is None else Known(name, known)
    return names


def _numbers(node: Node) -> tuple[int | float | bool, ...] | None:
    """The numbers that an operation of the framework stands for; None for any other."""
    attrs = getattr(node.native, "attrs", node.attrs)
    kind = node.op.rpartition(".")[2]
    if kind == "full_int_array":
        return tuple(attrs["value"])
    if kind == "full" and math.prod(attrs["shape"]) == 1:
        return (attrs["value"],)
    return None


def _constant(framework: str, leaf: Leaf) -> str:
    """A small constant in the source."""
    values = leaf.array.tolist()
    text = re.sub(r"\b(nan|inf)\b", r'float("\1")', repr(values))
    if framework == "torch":
        return f"torch.tensor({text}, dtype=torch_dtype(torch.{leaf.dtype}))"
    return f'paddle.to_tensor({text}, dtype=paddle_dtype("{leaf.dtype}"))'


def _inputs(side: SidePiece, label: str) -> list[str]:
    """The inputs of one model, by name, each with its dtype."""
    lines = [f"def {label}_inputs():", "    return {"]
    for leaf in side.leaves.values():
        if leaf.fed:
            comment = f"  # {code_comment(leaf.label)}" if leaf.label else ""
            given = f'(saved["{label}_{leaf.name}"], "{leaf.dtype}")'
            lines.append(f'        "{leaf.name}": {given},{comment}')
    return [*lines, "    }", "", ""]


def _pair(piece: Piece) -> list[str]:
    made = [
        f"{{n: {side.framework}_leaf(a, d) for n, (a, d) in {label}_inputs().items()}}"
        for label, side in zip(LABELS, piece.sides, strict=True)
    ]
    return [
        "def pair():",
        '    """For padiff-graph align: both models and their inputs."""',
        f"    first = {made[0]}",
        f"    second = {made[1]}",
        "    return First().eval(), Second().eval(), (first, second)",
        "",
        "",
    ]


def _main(piece: Piece, comparisons: Sequence[Comparison]) -> list[str]:
    first, second = (side.framework for side in piece.sides)
    lines = [
        'if __name__ == "__main__":',
        "    print(__doc__.strip())",
        f'    one, one_gradients = run(First().eval(), first_inputs, "{first}")',
        f'    other, other_gradients = run(Second().eval(), second_inputs, "{second}")',
    ]
    for comparison in comparisons:
        tables = ("one", "other")
        if comparison.kind == "gradient":
            tables = ("one_gradients", "other_gradients")
        sides = f'{tables[0]}["{comparison.first}"], {tables[1]}["{comparison.second}"]'
        key = comparison.key
        indices = f'saved["{key}_first"], saved["{key}_second"]'
        lines.append(f"    show({comparison.label!r}, {sides}, {indices})")
    return lines
