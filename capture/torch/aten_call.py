"""Rerunning one captured ATen operation: out of place, in its own words, with a given draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.graph import Node
from padiff_graph.capture.torch import effects
from padiff_graph.capture.torch.aliases import WITH_VALUE
from padiff_graph.capture.torch.aten_drawn import drawn_results
from padiff_graph.capture.torch.aten_facts import MOVING, STATISTICS
from padiff_graph.capture.torch.aten_schema import DTYPES, call, find_overload, member_of, mutated
from padiff_graph.capture.torch.gradient_functions import Hooked, WithValue

__all__ = ["SPECIAL", "run_node", "writes_complex"]

Tensor: TypeAlias = torch.Tensor
Results: TypeAlias = "tuple[Tensor | None, ...]"


@dataclass(frozen=True)
class _Rerun:
    """A node about to be rerun.

    Attributes:
        node: the operation.
        operands: in the order of its inputs.
        overload: its operator.
        device: where tensors made from nothing are put.
        double: whether dtype attributes of float32 are answered in float64.
    """

    node: Node
    operands: Sequence[Tensor | None]
    overload: Any
    device: torch.device
    double: bool

    def call(self, operands: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The operator's results on operands, in a row, under the autocast of its call."""
        attrs = dict(self.node.attrs)
        autocast = attrs.pop("autocast", None)
        mode = nullcontext()
        if autocast:
            mode = torch.autocast(autocast[0], DTYPES[autocast[1]])
        with mode:
            return _in_a_row(
                call(self.overload, operands, self.node.roles, attrs, self.device, self.double)
            )

    def changed(
        self, roles: Sequence[str], change: Callable[[Tensor], Tensor]
    ) -> list[Tensor | None]:
        """The operands, those of some roles changed."""
        return [
            change(operand) if operand is not None and member_of(role) in roles else operand
            for operand, role in zip(self.operands, self.node.roles, strict=True)
        ]


def run_node(
    node: Node,
    operands: Sequence[Tensor | None],
    device: torch.device,
    *,
    double: bool = False,
    draw: Array | None = None,
    recorded: effects.Effects | None = None,
    live: dict[int, Any] | None = None,
) -> Results:
    """Runs a node on operands and returns its results in the order of `node.outputs`.

    Args:
        node: the operation.
        operands: in the order of `node.inputs`.
        device: where tensors made from nothing are put.
        double: answer dtype attributes of float32 in float64.
        draw: what a random operation shall have drawn.
        recorded: hooks and functions registered during the capture.
        live: bookkeeping of module backward hooks between their two nodes.

    Raises:
        NotRunnable: where torch cannot run the node by itself.
    """
    if any(operand is not None and operand.is_meta for operand in operands):
        raise NotRunnable(f"{node.op} has operands on the meta device, which hold no numbers")
    if draw is not None:
        return drawn_results(node, operands, draw, device, double)
    if node.op in effects.EFFECTS:
        return _effect(node, operands, recorded, {} if live is None else live)
    if node.op == WITH_VALUE:
        return (WithValue.apply(*operands),)
    try:
        overload = find_overload(node.op)
    except KeyError as error:
        raise NotRunnable(str(error)) from None
    rerun = _Rerun(node, operands, overload, device, double)
    return SPECIAL.get(node.op, _plain)(rerun)


def _plain(rerun: _Rerun) -> Results:
    """The operator's call; what it writes is copied, and comes back behind its own results."""
    written = mutated(rerun.overload)
    return _with_written(rerun, written, rerun.changed(written, torch.Tensor.clone))


def _with_written(
    rerun: _Rerun, written: Sequence[str], operands: Sequence[Tensor | None]
) -> Results:
    results = rerun.call(operands)
    lacking = len(rerun.node.outputs) - len(results)
    if written and lacking > 0:
        moved = [
            operand
            for operand, role in zip(operands, rerun.node.roles, strict=True)
            if operand is not None and member_of(role) in written
        ]
        results += moved[:lacking]
    return tuple(results)


def _in_a_row(result: Any) -> list[Tensor | None]:
    if isinstance(result, (list, tuple)):
        return [leaf for member in result for leaf in _in_a_row(member)]
    return [result if isinstance(result, torch.Tensor) else None]


def _statistics(rerun: _Rerun) -> Results:
    """Normalisations that write their running statistics: these come back as further results."""
    return _with_written(rerun, MOVING, rerun.changed(MOVING, lambda s: s.detach().clone()))


def _attention(rerun: _Rerun) -> Results:
    """A mask comes in float64 together with the rest only if it is floating, as torch asks."""
    query = rerun.operands[0]

    def like_query(mask: Tensor) -> Tensor:
        if query is None or not mask.is_floating_point():
            return mask
        return mask.to(query.dtype)

    return tuple(rerun.call(rerun.changed(["attn_mask"], like_query)))


def _scatter(rerun: _Rerun) -> Results:
    """A write to a part of complex numbers, not differentiated by torch: as pairs of real ones."""
    if not writes_complex(rerun.node):
        return _plain(rerun)
    base, written = (_as_pairs(operand, rerun.node) for operand in rerun.operands)
    # the pairs are a further axis behind the others
    attrs = {**rerun.node.attrs, "dim": rerun.node.attrs["dim"] % (base.dim() - 1)}
    pairs = call(rerun.overload, [base, written], rerun.node.roles, attrs, rerun.device)
    return (torch.view_as_complex(pairs.contiguous()),)


def _as_pairs(operand: Tensor | None, node: Node) -> Tensor:
    if operand is None:
        raise NotRunnable(f"{node.op} lacks an operand")
    if not operand.is_complex():
        operand = operand.to(
            torch.complex128 if operand.dtype == torch.float64 else torch.complex64
        )
    return torch.view_as_real(operand.resolve_conj())


WEIGHT_NORMS = ("aten._weight_norm.default", "aten._weight_norm_interface.default")
"""Operators that divide by the norm over all axes but one, and multiply by one number for each."""


def _weight_norm(rerun: _Rerun) -> Results:
    """Magnitudes that do not fit the axis are refused: torch's kernel does not look, and writes
    past its results where there are too few (seen in 2.6 and 2.13). As many as another axis takes
    are laid along that."""
    direction, magnitude = rerun.operands
    if direction is None or magnitude is None:
        raise NotRunnable(f"{rerun.node.op} lacks an operand")
    axis = rerun.node.attrs.get("dim", 0)
    wanted = 1 if axis == -1 else direction.shape[axis]
    if magnitude.numel() != wanted:
        raise NotRunnable(
            f"{rerun.node.op} over axis {axis} of {list(direction.shape)} has magnitudes"
            f" {list(magnitude.shape)}; {wanted} are needed"
        )
    shape = [1] * direction.ndim
    shape[axis] = wanted
    return _plain(replace(rerun, operands=(direction, magnitude.reshape(shape))))


COMPLEX_SCATTERS = ("aten.slice_scatter.default", "aten.select_scatter.default")
"""Operators that torch refuses to differentiate for complex numbers (seen in 2.6 and 2.13)."""


def writes_complex(node: Node) -> bool:
    """Whether a node writes to a part of a complex tensor."""
    kind = node.outputs[0] if node.outputs else None
    return node.op in COMPLEX_SCATTERS and kind is not None and kind.dtype.startswith("complex")


SPECIAL: Mapping[str, Callable[[_Rerun], Results]] = {
    **dict.fromkeys(STATISTICS, _statistics),
    **dict.fromkeys(COMPLEX_SCATTERS, _scatter),
    **dict.fromkeys(WEIGHT_NORMS, _weight_norm),
    "aten.scaled_dot_product_attention.default": _attention,
}
"""Operators whose plain call is not the node's meaning."""


def _effect(
    node: Node,
    operands: Sequence[Tensor | None],
    recorded: effects.Effects | None,
    live: dict[int, Any],
) -> Results:
    """What the capture registered: a hook, a custom function, both ends of module hooks."""
    if recorded is None:
        raise NotRunnable(
            f"{node.op} needs what the capture registered, and the graph was loaded from a file;"
            " capture it again"
        )
    token = node.attrs["token"]
    entry = recorded.entries[token]
    if node.op == effects.GRADIENT_HOOK:
        (x,) = operands
        if x is None or not x.requires_grad:
            return (x,)
        return (Hooked.apply(x, entry),)
    if node.op == effects.CUSTOM_FUNCTION:
        return tuple(entry.apply(operands))
    if node.op == effects.MODULE_BACKWARD[0]:
        live[token] = entry.fresh()
        return tuple(live[token].setup_input_hook(tuple(operands)))
    keeper = live.pop(token, None) or entry.alone()
    return tuple(keeper.setup_output_hook(tuple(operands)))
