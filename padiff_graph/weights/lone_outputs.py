"""Parameters that only outputs of one model need: the pooler of an encoder, where the other model
returns no pooled output.

They have no counterpart by right, as the output has none, and say nothing of what both return.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.executor.output_pairs import output_pairs
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Matching, ParameterRow
from padiff_graph.weights.crossed_names import owner

__all__ = ["LONE", "LoneWeights", "lone_weights", "parameters_behind"]

LONE = "only an output that the other model does not return needs it"


@dataclass(frozen=True)
class LoneWeights:
    """The parameters of one model.

    Attributes:
        side: the model that has them, 0 or 1.
        names: of the parameters, in the order of the model.
        outputs: names of the outputs that need them.
    """

    side: int
    names: tuple[str, ...]
    outputs: tuple[str, ...]

    def without(self, matching: Matching) -> Matching:
        """The matching, in which nothing is looked for to fill them."""
        rows = tuple(self._row(row) for row in matching.parameters)
        theirs = self.names if self.side else ()
        unused = tuple(name for name in matching.unused_second if name not in theirs)
        return replace(matching, parameters=rows, unused_second=unused)

    def _row(self, row: ParameterRow) -> ParameterRow:
        if self.side or row.first not in self.names:
            return row
        return replace(row, status="unread", confidence=1.0, reason=LONE)

    def finding(self, frameworks: tuple[str, str]) -> Finding:
        """That they were not compared."""
        cause = Cause.of(
            "parameter.lone", side=self.side, parameters=self.names, outputs=self.outputs
        )
        modules = dict.fromkeys(owner(name) for name in self.names)
        places = tuple(("", module) if self.side else (module, "") for module in modules)
        return Finding(
            "weights", "suspicious", cause, *places[0], places=places, frameworks=frameworks
        )


def lone_weights(matching: Matching) -> LoneWeights | None:
    """The parameters without counterpart that nothing needs but outputs which the other model does
    not return; None where there are none, or where outputs of both models are left over, which
    may be each other's."""
    pairs = output_pairs(matching)
    paired = {pair.first for pair in pairs}, {pair.second for pair in pairs}
    normals = matching.first, matching.second
    left = [
        tuple(name for name in normal.outputs if name not in known)
        for normal, known in zip(normals, paired, strict=True)
    ]
    if not pairs or bool(left[0]) == bool(left[1]):
        return None
    side = 0 if left[0] else 1
    lost = [row.first for row in matching.parameters if row.status == "open"]
    candidates = matching.unused_second if side else lost
    graph = normals[side].graph
    needed = _needed(graph, paired[side], updates=True)
    alone = _needed(graph, left[side], updates=False)
    names = tuple(name for name in candidates if name in alone and name not in needed)
    return LoneWeights(side, names, left[side]) if names else None


def _needed(graph: ComputationGraph, outputs: Iterable[str], *, updates: bool) -> set[str]:
    """The parameters that some outputs are computed of, and with `updates` what is written into
    these for the next call."""
    wanted = set(outputs)
    waiting = [
        node.inputs[0].node
        for node in graph.of_kind("output")
        if node.name in wanted and node.inputs and node.inputs[0] is not None
    ]
    return parameters_behind(graph, waiting, updates=updates)


def parameters_behind(
    graph: ComputationGraph, nodes: Iterable[int], *, updates: bool = False
) -> set[str]:
    """The parameters and buffers that some nodes are computed of; with `updates` in later calls
    too, which read what is written into a buffer."""
    waiting = list(nodes)
    seen: set[int] = set()
    names: set[str] = set()
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        record = graph.record(at)
        waiting += [value.node for value in record.inputs if value is not None]
        if record.kind in ("parameter", "buffer"):
            names.add(record.name)
            if updates and record.name in graph.updates:
                waiting.append(graph.updates[record.name].node)
    return names
