"""Both models copied, as float64 in place of a half precision, captured and aligned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from padiff_graph.alignment.align import align
from padiff_graph.alignment.correspondence import ResolvedMap
from padiff_graph.capture.api import Capture
from padiff_graph.capture.autocast import is_mixed, low_name
from padiff_graph.capture.backend import backend, framework_of, needed
from padiff_graph.capture.eager_run import Eager, standing
from padiff_graph.capture.engine import Engine, NotRunnable
from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType
from padiff_graph.capture.with_loss import returned_name
from padiff_graph.matching.parameters.row_changes import filled
from padiff_graph.matching.result import Matching
from padiff_graph.precision.placement import placed
from padiff_graph.precision.rounding import LowSide

__all__ = ["Loss", "StandIns", "capture_stand_ins", "captured"]


FORWARD = "half precision is looked at forward"
Loss = Callable[[Any], Any]


@dataclass(frozen=True)
class StandIns:
    """Two captured stand-ins.

    Attributes:
        sides: of the first and of the second model.
        matching: of both graphs as if all floats were alike: casts between floats are no
            operations in it, so that models match as they do in float32.
    """

    sides: tuple[LowSide, LowSide]
    matching: Matching


def capture_stand_ins(
    models: tuple[Any, Any],
    examples: tuple[Mapping[str, Any], Mapping[str, Any]],
    precision: str,
    resolved: ResolvedMap,
    losses: tuple[Loss, Loss] | None = None,
) -> StandIns:
    """Copies, captures and matches; the user's models and examples stay as they are.

    Args:
        losses: of both models' outputs, captured behind them; None for none.

    Raises:
        CaptureError: where a stand-in cannot be captured faithfully.
    """
    loss = losses or (None, None)
    first, first_side = captured(models[0], examples[0], precision, loss[0])
    second, second_side = captured(models[1], examples[1], precision, loss[1])
    alignment = align(
        first.model,
        second.model,
        (first.example, second.example),
        resolved,
        certify=False,
        evidence=False,
        captures=(first, second),
    )
    matching = filled(alignment.matching, alignment.known.suggested)
    return StandIns((first_side, second_side), matching)


def captured(
    model: Any, example: Mapping[str, Any], precision: str, loss: Loss | None = None
) -> tuple[Capture, LowSide]:
    """One model's stand-in: the capture to match by, with all floats alike, and the one to run.

    With a loss of its output both are captured as one, the loss as a further output.

    Raises:
        CaptureError: where it cannot be captured faithfully.
    """
    side = backend(framework_of(model))
    stand_in = needed(side.stand_in)
    made = stand_in.copied(model, precision, loss)
    given = stand_in.example(example, is_mixed(precision) or bool(stand_in.given(model)))
    engine = side.engine(made)
    with stand_in.asking(precision) as noted:
        capture = Capture.of(made, given, engine)
        eager = _forward(capture.graph, engine, given)
        while not capture.certify(eager):
            pass
        casts = stand_in.explicit_casts(capture.graph, noted)
    graph = capture.graph if loss is None else _remade(capture.graph, _output_node, _same)
    placement = placed(graph, casts)
    return replace(capture, graph=_remade(graph, _single_node, _single_parameter)), LowSide(
        graph, engine, placement, low_name(precision), casts | _promotions(graph)
    )


def _forward(graph: ComputationGraph, engine: Engine, example: Mapping[str, Any]) -> Eager:
    """What the stand-in yields, to hold its capture against: nothing is differentiated here."""
    with engine.quiet():
        before = standing(graph, engine)
        try:
            run = engine.forward(example, grad=False)
        except (RuntimeError, TypeError, ValueError) as error:
            raise NotRunnable(f"the copy in float64 that stands for it raises: {error}") from error
        outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
    return Eager(before, outputs, dict(run.buffers), {}, {}, frozenset(), FORWARD)


def _promotions(graph: ComputationGraph) -> frozenset[int]:
    """Casts that Paddle writes where two dtypes meet, among all of its casts."""
    return frozenset(node.id for node in graph.of_kind("operation") if node.op == "pd_op.cast")


def _remade(
    graph: ComputationGraph,
    node_of: Callable[[Node], Node],
    parameter_of: Callable[[ParameterInfo], ParameterInfo],
) -> ComputationGraph:
    """The graph with other nodes of the same ids, and other parameters."""
    return ComputationGraph.build(
        graph.framework,
        [node_of(node) for node in graph.records()],
        training=graph.training,
        modules=graph.modules,
        parameters={name: parameter_of(info) for name, info in graph.parameters.items()},
        notes=list(graph.notes),
        updates=graph.updates,
        session=graph.session,
    )


def _output_node(node: Node) -> Node:
    """An output by the name that the model alone gives it."""
    return replace(node, name=returned_name(node.name)) if node.kind == "output" else node


def _same(info: ParameterInfo) -> ParameterInfo:
    return info


def _single_node(node: Node) -> Node:
    """With float32 for float64, so that no cast between both changes a value."""
    attrs = {
        name: "float32" if isinstance(value, str) and value == "float64" else value
        for name, value in node.attrs.items()
    }
    return replace(node, attrs=attrs, outputs=tuple(_single_type(kind) for kind in node.outputs))


def _single_parameter(info: ParameterInfo) -> ParameterInfo:
    return replace(info, type=_single_type(info.type) or info.type)


def _single_type(kind: TensorType | None) -> TensorType | None:
    if kind is None or kind.dtype != "float64":
        return kind
    return kind._replace(dtype="float32")
