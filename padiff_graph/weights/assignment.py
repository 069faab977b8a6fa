"""assign_weight: the second model's weights copied into the first through the parameter map."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from padiff_graph.alignment.align import align
from padiff_graph.alignment.aligned import Alignment
from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.exclusive import one_at_a_time
from padiff_graph.capture.held_weights import held_weights
from padiff_graph.capture.late_weights import late_model
from padiff_graph.errors import UsageError
from padiff_graph.executor.transfer import mapped
from padiff_graph.findings.cause_sentences import sentence
from padiff_graph.findings.difference_causes import difference_cause, difference_places
from padiff_graph.layer_map.layer_map import LayerMap
from padiff_graph.matching.parameters.names import numbers, template
from padiff_graph.matching.result import ParameterRow
from padiff_graph.request.module_tree import has_modules, modules_of
from padiff_graph.request.special_init import special_inits
from padiff_graph.sides.opened import with_sides
from padiff_graph.weights.lone_outputs import LONE, lone_weights

__all__ = ["WeightAlignmentError", "assign_parameters", "assign_weight", "write_where_proved"]

LOG = logging.getLogger(__name__)
SHOWN = 8
"""Most parameters named in one error."""


class WeightAlignmentError(RuntimeError):
    """Weights that do not line up. The first model is as before.

    Attributes:
        parameters: the parameters of the first model without a counterpart.
    """

    def __init__(self, message: str, parameters: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.parameters = parameters


@with_sides
@one_at_a_time
def assign_weight(layer: Any, module: Any, layer_map: Any = None, example_inp: Any = None) -> Any:
    """Copies the torch model's weights into the Paddle model, in place.

    Every parameter and buffer that the computation reads gets its counterpart's values, with
    whatever transform it needs. What has no counterpart is kept where it changes nothing (a scale
    of ones, a shift of zeros), and where only an output needs it that the torch model does not
    return (a pooler); a warning of the log names these.

    Args:
        layer: the Paddle model, written to.
        module: the torch model.
        layer_map: a LayerMap, a dict of corresponding modules, or nothing.
        example_inp: (paddle_input, torch_input); without it inputs are inferred where they can be.
    Returns:
        True. Towards ONNX a new ModelProto that holds the weights; the given one is never written
        to.
    Raises:
        WeightAlignmentError: where a parameter has no counterpart; the Paddle model is untouched.
        UsageError: the Paddle model's weights are in files.
        CaptureError: where a model cannot be captured.
    """
    if late_model(layer) is not None:
        raise UsageError(
            "assign_weight writes into a model in memory; the first one's weights are in files: "
            "convert the checkpoint instead (padiff-graph convert)"
        )
    resolved = LayerMap.of(layer_map).resolve(layer, module)

    def aligned() -> Alignment:
        return align(layer, module, example_inp, resolved, certify=False)

    alignment = aligned()
    before: dict[str, Array] = {}
    try:
        before = write_where_proved(alignment)
        alignment = aligned() if before else alignment
        assign_parameters(alignment, layer, module)
    except BaseException:
        if before:
            alignment.first_engine.assign(before)
        raise
    return alignment.first_engine.model if alignment.first_engine.framework == "onnx" else True  # type: ignore[attr-defined]


def _lost(alignment: Alignment) -> bool:
    return any(row.status == "open" for row in alignment.matching.parameters)


def _crossed(alignment: Alignment) -> bool:
    """Whether members of two lists of one name go together under other numbers, unproved."""
    return any(
        template(row.first) == template(second) and numbers(row.first) != numbers(second)
        for row in alignment.matching.parameters
        if not row.proved
        for second in (piece.second for piece in row.pieces)
    )


def write_where_proved(alignment: Alignment) -> dict[str, Array]:
    """Writes what a run has proved, where weights do not line up, and yields what stood there
    before.

    Which experts a mixture runs is decided by its router: until both models hold the same one they
    run others, and these do not line up. With what is proved the same ones run. Not into ONNX,
    where a new model holds what is written.
    """
    if not _lost(alignment) and not _crossed(alignment):
        return {}
    engine = alignment.first_engine
    rows = [row for row in alignment.matching.parameters if row.proved and row.pieces]
    if not rows or engine.framework == "onnx":
        return {}
    own = engine.parameters()
    before = {row.first: np.array(engine.array(own[row.first])) for row in rows}
    engine.assign(new_values(rows, engine, alignment.second_engine))
    return before


def assign_parameters(
    alignment: Alignment, layer: Any, module: Any, *, partly: bool = False
) -> tuple[str, ...]:
    """Writes the first model's parameters through an alignment's map.

    Args:
        alignment: of the two models.
        layer, module: the two models.
        partly: leave parameters without a counterpart as they are instead of refusing.
    Returns:
        Names of parameters that were kept: neutral ones and those that nothing reads, or nothing
        but outputs that the second model does not return.
    Raises:
        WeightAlignmentError: before anything is written.
    """
    special = special_inits(_pairs(alignment, layer, module))
    covered = tuple(path for path, _, _ in special)
    lone = lone_weights(alignment.matching)
    kept = frozenset(lone.names if lone is not None and not lone.side else ())
    rows = [
        row
        for row in alignment.matching.parameters
        if row.first not in kept and not any(_inside(row.first, path) for path in covered)
    ]
    missing = [row for row in rows if row.status == "open"]
    if missing and not partly:
        raise WeightAlignmentError(
            _message(alignment, missing), tuple(row.first for row in missing)
        )
    rows = [row for row in rows if row.status != "open"]
    values = new_values(rows, alignment.first_engine, alignment.second_engine)
    before = held_weights(alignment.first_engine) if special else {}
    try:
        for path, other, fn in special:
            fn(modules_of(layer)[path], modules_of(module)[other])
        alignment.first_engine.assign(values)
    except BaseException:
        if before:
            alignment.first_engine.assign(before)
        raise
    if kept and not partly:
        LOG.warning("kept as they are, %s: %s", LONE, ", ".join(sorted(kept)))
    return (*(row.first for row in rows if not row.pieces), *sorted(kept))


def new_values(rows: list[ParameterRow], first: Engine, second: Engine) -> dict[str, Array]:
    """What the rows make of the second model's weights, by name in the first."""
    ours, theirs = first.parameters(), second.parameters()
    read: dict[str, Array] = {}
    left = _counted(rows)
    values: dict[str, Array] = {}
    for row in rows:
        if not row.pieces:
            continue
        for piece in row.pieces:
            if piece.second not in read:
                read[piece.second] = second.array(theirs[piece.second])
        one = row.pieces[0]
        whole = len(row.pieces) == 1 and one.first_view.identity and not one.summed
        own = (
            np.empty(tuple(ours[row.first].shape), read[one.second].dtype)
            if whole
            else first.array(ours[row.first])
        )
        values[row.first] = mapped(row, own, read)
        for piece in row.pieces:
            left[piece.second] -= 1
            if not left[piece.second]:
                del read[piece.second]
    return values


def _counted(rows: list[ParameterRow]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        for piece in row.pieces:
            counts[piece.second] = counts.get(piece.second, 0) + 1
    return counts


def _pairs(alignment: Alignment, layer: Any, module: Any) -> list[tuple[str, Any, str, Any]]:
    """Matched modules with their objects; pairs given by the user come first."""
    first, second = _at_hand(layer), _at_hand(module)
    paths = dict(alignment.resolved.pairs)
    for row in alignment.module_rows():
        paths.setdefault(row.paddle_path, row.torch_path)
    return [
        (one, first[one], other, second[other])
        for one, other in paths.items()
        if one in first and other in second
    ]


def _at_hand(model: Any) -> dict[str, Any]:
    """The modules of a model that a function of the user can be handed."""
    return modules_of(model) if has_modules(model) else {"": model}


def _message(alignment: Alignment, missing: list[ParameterRow]) -> str:
    first, second = alignment.matching.first.graph, alignment.matching.second.graph
    lines = [
        f"{len(missing)} of {len(alignment.matching.parameters)} parameters of the"
        f" {first.framework} model have no counterpart; nothing was written."
    ]
    sizes = _other_sizes(alignment)
    for row in missing[:SHOWN]:
        info = first.parameters[row.first]
        why = next((why for at, why in sizes.items() if _inside(row.first, at)), row.reason)
        lines.append(f"  {row.first} {list(info.type.shape)}: {why}")
    if len(missing) > SHOWN:
        lines.append(f"  and {len(missing) - SHOWN} more")
    unused = alignment.matching.unused_second
    if unused:
        lines.append(
            f"Left over in the {second.framework} model: "
            + ", ".join(
                f"{name} {list(second.parameters[name].type.shape)}" for name in unused[:SHOWN]
            )
            + (" ..." if len(unused) > SHOWN else "")
        )
    lines.append(
        "Give the correspondence in a LayerMap (layer_map.map = {paddle_layer: torch_module}, or"
        " parameter rows in its YAML), or add_special_init for the pair of classes."
    )
    return "\n".join(lines)


def _other_sizes(alignment: Alignment) -> dict[str, str]:
    """By module of the first model, the innermost first, what is of another size there."""
    matching = alignment.matching
    said = {
        path: sentence(difference_cause(difference), matching.frameworks)
        for difference in alignment.differences
        if difference.kind == "size"
        for path, _ in difference_places(difference, matching)
        if path
    }
    return dict(sorted(said.items(), key=lambda item: -len(item[0])))


def _inside(name: str, path: str) -> bool:
    return not path or name.startswith(path + ".")
