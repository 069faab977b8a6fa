"""The text of a script that reruns one region: head, both sides as functions, what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.graph import Value
from padiff_graph.executor.partition import Region
from padiff_graph.export.repro_side import WrittenSide
from padiff_graph.findings.finding import Finding
from padiff_graph.printable import docstring_line
from padiff_graph.report.source_lines import code_line, short_source

__all__ = ["SHOW", "Comparison", "called", "script_text"]

SHOW = '''\
def show(name, one, other, first_index, second_index):
    """One compared tensor: the same elements of both sides, laid side by side."""
    if one is None or other is None:
        arrived = one if other is None else other
        if arrived is None or not arrived.any():
            print(f"{name}: zero on both sides")
        else:
            sides = ["no gradient" if side is None else "a gradient" for side in (one, other)]
            print(f"{name}: {sides[0]} on the first side, {sides[1]} on the second")
        return
    one = one.reshape(-1)[first_index].astype(np.result_type(one, np.float64))
    other = other.reshape(-1)[second_index].astype(np.result_type(other, np.float64))
    unlike = ~((one == other) | (np.isnan(one) & np.isnan(other)))
    error = float(np.abs(one - other)[unlike].max(initial=0.0))
    largest = float(np.abs(other[np.isfinite(other)]).max(initial=0.0))
    relative = error / largest if largest else error
    print(
        f"{name}: largest difference {error:.3g}, largest value {largest:.3g}, "
        f"relative {relative:.3g}"
    )
'''
"""The function that lays two tensors beside each other and prints how far they are apart."""


@dataclass(frozen=True)
class Comparison:
    """One line that the script prints.

    Attributes:
        label: what is compared, in words.
        kind: an output's value or a leaf's gradient.
        first, second: names of both tensors in the script.
        key: of the saved indices that pair their elements.
    """

    label: str
    kind: Literal["output", "gradient"]
    first: str
    second: str
    key: str


def script_text(
    finding: Finding,
    sides: tuple[WrittenSide, WrittenSide],
    region: Region,
    comparisons: Sequence[Comparison],
    differentiated: bool,
) -> str:
    """The script; without cotangents nothing is differentiated."""
    frameworks = sorted({side.framework for side in sides})
    lines = [
        *_docstring(finding, sides),
        "import sys",
        "from pathlib import Path",
        "",
        "import numpy as np",
        *(f"import {name}" for name in frameworks),
        "",
        'saved = np.load(Path(__file__).with_suffix(".npz"))',
        'DOUBLE = "--double" in sys.argv',
        "",
        "",
    ]
    body = [
        *SHOW.splitlines(),
        "",
        "",
        *_function("first", sides[0], region.cut.first, differentiated),
        *_function("second", sides[1], region.cut.second, differentiated),
        *_main(comparisons, differentiated),
    ]
    for name in frameworks:
        body = [*called(needed(backend(name).scripts).PRELUDE, body), *body]
    return "\n".join([*lines, *body]) + "\n"


def _docstring(finding: Finding, sides: tuple[WrittenSide, WrittenSide]) -> list[str]:
    told = [f"{finding.verdict} ({finding.phase}): {finding.cause}", ""]
    places = (
        (sides[0].framework, finding.paddle_path, finding.paddle_source),
        (sides[1].framework, finding.torch_path, finding.torch_source),
    )
    for framework, path, source in places:
        where = short_source(source) if source else ""
        told.append(f"{framework}: {path or '(root)'}  {where}".rstrip())
        if source and code_line(source):
            told.append(f"    {code_line(source)}")
    told += [
        "",
        "Runs this region alone in both frameworks, on the values saved beside this file.",
        "--double computes in float64: rounding vanishes there, a real difference stays.",
    ]
    for side in sides:
        for number, reason in side.own.items():
            told.append(f"As saved numbers: {side.framework}'s v{number}, {reason}.")
    quoted = [docstring_line(line) for line in told]
    return ['"""The region of one finding, run by itself.', "", *quoted, '"""', ""]


def _function(
    label: str, side: WrittenSide, values: Sequence[Value], differentiated: bool
) -> list[str]:
    """One side as a function that returns values and gradients by name."""
    outputs = [side.names[value] for value in values]
    lines = [
        f"def {label}():",
        f'    """{side.framework}: values and gradients by name."""',
        *(f"    {line}" for line in side.lines),
        f"    outputs = [{', '.join(outputs)}]",
        f"    arrays = [{side.framework}_array(output) for output in outputs]",
        f"    found = dict(zip({outputs!r}, arrays))",
    ]
    if not differentiated:
        return [*lines, "    return found, {}", "", ""]
    seeds = [f'saved["cotangent_{label}_{value.node}_{value.output}"]' for value in values]
    return [
        *lines,
        f"    leaves = [{', '.join(side.leaves)}]",
        f"    seeds = [{', '.join(seeds)}]",
        f"    gradients = {side.framework}_gradients(outputs, seeds, leaves)",
        f"    return found, dict(zip({side.leaves!r}, gradients))",
        "",
        "",
    ]


def _main(comparisons: Sequence[Comparison], differentiated: bool) -> list[str]:
    lines = [
        'if __name__ == "__main__":',
        "    print(__doc__.splitlines()[2])",
        "    (one, one_gradients), (other, other_gradients) = first(), second()",
    ]
    for comparison in comparisons:
        tables = ("one", "other")
        if comparison.kind == "gradient":
            if not differentiated:
                continue
            tables = ("one_gradients", "other_gradients")
        first, second = f'{tables[0]}["{comparison.first}"]', f'{tables[1]}["{comparison.second}"]'
        key = comparison.key
        indices = f'saved["{key}_first"], saved["{key}_second"]'
        lines.append(f"    show({comparison.label!r}, {first}, {second}, {indices})")
    return lines


def called(prelude: str, lines: Sequence[str]) -> list[str]:
    """Of the functions that a framework's statements may call those that these call."""
    functions = {
        text.partition("(")[0].removeprefix("def "): text
        for text in prelude.strip().split("\n\n\n")
    }
    script = "\n".join(lines)
    known = ""
    while True:
        called = "".join(f"{text}\n\n\n" for name, text in functions.items() if name in script)
        if called == known:
            return called.splitlines()
        script, known = script + called, called
