"""A normalisation over groups of channels that a model spells out over rows."""

from __future__ import annotations

import math

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import reshape, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.composed_norms import as_read
from padiff_graph.capture.normal.rewrites.operands import both_orders
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to
from padiff_graph.capture.normal.traits import traits

__all__ = ["by_channel", "channel_parameter_into_norm"]

CHANNEL_NORMS = ("GroupNormalization", "InstanceNormalization")
"""Norms with one scale and bias a channel."""
BATCH_NORM = "BatchNormalization"
SPATIAL = 3
"""Axes that a result has at least whose channels are an axis of their own: batch, channel, place;
a BatchNormalization has one less."""


@applies_to("Mul", "Add")
def channel_parameter_into_norm(sweep: Sweep, draft: Draft) -> bool:
    """LayerNormalization over rows of whole channels, times w or plus b by channel =
    GroupNormalization(x; num_groups, scale w, bias b), InstanceNormalization for a row a channel;
    a BatchNormalization takes them in likewise.

    Refuses what is not one number for each channel, of any shape; rows that are no whole channels;
    a norm that is read elsewhere too, scaled, shifted or moved; a scale behind a bias.
    """
    role = traits(draft.op).neutral
    for normed, parameter in both_orders(draft):
        norm = sweep.behind(normed, "LayerNormalization", BATCH_NORM, *CHANNEL_NORMS)
        if norm is None or not sweep.alone(norm) or not unscaled(normed):
            continue
        if not view_of(normed).identity or not sweep.learned(parameter):
            continue
        least = SPATIAL - 1 if norm.op == BATCH_NORM else SPATIAL
        if len(draft.shape) < least or not by_channel(parameter, draft):
            continue
        grouped = _grouped(norm, draft.shape)
        if grouped is None or not _free(norm, role):
            continue
        op, attrs = grouped
        rows = norm.op == "LayerNormalization"
        operands = [norm.inputs[0], None, None] if rows else list(norm.inputs)
        data = operands[0]
        if data is None:
            continue
        operands[0] = reshape(data, draft.shape)
        channels = reshape(parameter, (draft.shape[1],))
        operands[traits(op).operands.index(role)] = channels
        kind = TensorType(draft.shape, draft.outputs[0].dtype)
        new = sweep.made_of(draft, op, operands, attrs, norm, native=normed.through, kind=kind)
        sweep.replace_reshaped(draft, new)
        return True
    return False


def by_channel(parameter: Edge, draft: Draft) -> bool:
    """Whether a parameter is one number for each channel."""
    channels = draft.shape[1]
    if channels < 1 or math.prod(shape_of(parameter)) != channels:
        return False
    rest = (1,) * (len(draft.shape) - 2)
    wanted = View.of((channels,)).reshape((1, channels, *rest)).expand(draft.shape)
    return as_read(parameter, draft.shape, View.of(draft.shape)).same(wanted)


def _grouped(norm: Draft, shape: tuple[int, ...]) -> tuple[str, dict[str, object]] | None:
    """The operator and attributes over `shape`, [batch, channels, *places]; None where rows are no
    whole channels of one example."""
    if norm.op == BATCH_NORM and len(norm.outputs) > 1:
        return None  # it yields statistics too
    if norm.op in (BATCH_NORM, *CHANNEL_NORMS):
        return (norm.op, dict(norm.attrs)) if norm.shape == shape else None
    if norm.attrs["correction"] != 0.0 or shape[0] < 1:
        return None
    rows = math.prod(norm.shape[: norm.attrs["axis"]])
    groups, rest = divmod(rows, shape[0])
    if rest or not groups or shape[1] % groups:
        return None
    attrs: dict[str, object] = {"epsilon": norm.attrs["epsilon"]}
    if groups == shape[1]:
        return "InstanceNormalization", attrs
    return "GroupNormalization", {**attrs, "num_groups": groups}


def _free(norm: Draft, role: str) -> bool:
    """Whether the place of an operand is free, and what is in the others would not be changed by
    it."""
    operands = traits(norm.op).operands
    if role not in operands:
        return False
    end = operands.index("bias") + 1
    return all(edge is None for edge in norm.inputs[operands.index(role) : end])
