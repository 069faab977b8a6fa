"""A batch normalisation in training mode that a model spells out: what it normalises, and the
running statistics that it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from padiff_graph.capture.graph import TensorType
from padiff_graph.capture.normal.builder import Builder
from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import reshape, shape_of, unscaled, view_of
from padiff_graph.capture.normal.form import Edge, Location
from padiff_graph.capture.normal.index_map import View
from padiff_graph.capture.normal.rewrites.operands import power_below, present
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["norm_over_batch", "statistics_into_norm"]

NORM = "BatchNormalization"
FIRST_STATISTIC = 3
"""Place of the running mean among the operands, which the variance follows; the new ones are
further results in this order."""
NEAR = 1e-6
"""How near the share of the new batch is to what the share of the old value leaves, in float32."""
DIGITS = 7
"""Digits of a momentum that are kept, as of native operations: so that 1 - 0.9 is 0.1."""


@applies_to("LayerNormalization")
def norm_over_batch(sweep: Sweep, draft: Draft) -> bool:
    """LayerNormalization over rows that are each one channel of the whole batch =
    BatchNormalization(x) in training mode, without parameters and running statistics.

    Refuses a batch of one, whose rows are those of an InstanceNormalization too, scaled or shifted
    x, parameters, and the unbiased variance.
    """
    x = draft.inputs[0]
    if x is None or any(edge is not None for edge in draft.inputs[1:]) or not unscaled(x):
        return False
    if draft.attrs["axis"] != -1 or draft.attrs["correction"] != 0.0:
        return False
    held = sweep.builder.drafts[x.source].outputs[x.output].shape
    shapes = (
        held,
        (draft.shape[-1], draft.shape[0]),
    )  # as it stands, or its last axis the channels
    whole = next((shape for shape in shapes if _whole_batch(x, draft.shape, shape)), None)
    if whole is None:
        return False
    rows = _rows(whole)
    back = rows.inverse(whole)
    if back is None:
        return False
    attrs = {"epsilon": draft.attrs["epsilon"], "momentum": None, "training": True}
    operands = [x._replace(view=View.of(whole)), None, None, None, None]
    kind = TensorType(whole, draft.outputs[0].dtype)
    new = sweep.made_of(draft, NORM, operands, attrs, kind=kind)
    sweep.replace_moved(draft, new, rows, back)
    return True


def _rows(whole: tuple[int, ...]) -> View:
    """Reads [batch, channel, *places] as one row a channel."""
    order = (1, 0, *range(2, len(whole)))
    return View.of(whole).transpose(order).reshape((whole[1], math.prod(whole) // whole[1]))


def _whole_batch(x: Edge, rows: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether an edge reads all of a batch, one row a channel."""
    if len(rows) != 2 or len(whole) < 2 or whole[0] < 2 or not math.prod(whole):
        return False
    if rows != (whole[1], math.prod(whole) // whole[1]):
        return False
    return view_of(x).same(_rows(whole))


# -- running statistics


@dataclass(frozen=True, slots=True)
class _Kept:
    """A running statistic and what it becomes.

    Attributes:
        update: the draft of its new value.
        buffer: reads the old one.
        momentum: the share of the batch.
        drafts: what computes the batch's statistic and is read by nothing else that counts.
    """

    update: Draft
    buffer: Edge
    momentum: float
    drafts: tuple[Draft, ...]


def statistics_into_norm(builder: Builder) -> None:
    """BatchNormalization(x) in training mode, with r = (1 - m) r + m mean(x) and the same of the
    variance, biased or not = BatchNormalization(x; running mean and variance) with momentum m.

    Refuses one statistic without the other, other shares for the two, several norms of one value,
    and what is not one number for each channel.
    """
    if not builder.updates:
        return
    norms: dict[Edge, list[Draft]] = {}
    for draft in builder.order():
        if draft.op == NORM and draft.attrs["training"] and len(draft.outputs) == 1:
            x = draft.inputs[0]
            if x is not None and not any(draft.inputs[FIRST_STATISTIC:]) and _plain(x):
                norms.setdefault(x._replace(through=()), []).append(draft)
    for x, drafts in norms.items():
        if len(drafts) != 1:
            continue
        kept = [_statistic(builder, x, squared) for squared in (False, True)]
        mean, variance = kept
        if mean is None or variance is None:
            continue
        if math.isclose(mean.momentum, variance.momentum, rel_tol=NEAR):
            _take_in(builder, drafts[0], mean, variance)


def _statistic(builder: Builder, x: Edge, squared: bool) -> _Kept | None:
    """The only buffer that keeps a share of the mean, or of the variance, of a batch."""
    found = list(_statistics(builder, x, squared))
    return found[0] if len(found) == 1 else None


def _statistics(builder: Builder, x: Edge, squared: bool) -> Iterator[_Kept]:
    channels = shape_of(x)[1]
    for name, edge in builder.updates.items():
        update = builder.drafts[edge.source]
        if update.op != "Add" or not _plain(edge) or math.prod(update.shape) != channels:
            continue
        edges = present(update)
        old = [
            one
            for one in edges
            if builder.drafts[one.source].op == "Parameter"
            and builder.drafts[one.source].name == name
        ]
        new = [one for one in edges if one not in old]
        if not old or len(new) != 1 or any(one.shift for one in edges):
            continue
        if any(math.prod(shape_of(one)) != channels for one in edges):
            continue
        factor, drafts = _read(builder, new[0])
        if drafts[-1].op == "ReduceSum":
            factor *= math.prod(shape_of(x)) / channels
        share = sum(one.scale for one in old)
        if not 0.0 < share < 1.0 or not _of_batch(builder, drafts, x, squared):
            continue
        count = math.prod(shape_of(x)) / channels
        unbiased = count / (count - 1.0) if squared else 1.0
        if any(math.isclose(factor, (1.0 - share) * by, rel_tol=NEAR) for by in (1.0, unbiased)):
            buffer = old[0]._replace(scale=1.0)
            yield _Kept(update, buffer, round(1.0 - share, DIGITS), tuple(drafts))


def _read(builder: Builder, edge: Edge) -> tuple[float, list[Draft]]:
    """By what a statistic is multiplied, and the drafts that an update reads it through."""
    draft, factor = builder.drafts[edge.source], edge.scale
    drafts = [draft]
    while draft.op == "Detach" and draft.inputs[0] is not None and not draft.inputs[0].shift:
        factor *= draft.inputs[0].scale
        draft = builder.drafts[draft.inputs[0].source]
        drafts.append(draft)
    return factor, drafts


def _of_batch(builder: Builder, drafts: list[Draft], x: Edge, squared: bool) -> bool:
    """Whether the last of these drafts is the mean, or the variance, of the batch by channel; what
    a variance is computed from is added to them."""
    draft = drafts[-1]
    over = draft.inputs[0] if draft.inputs else None
    if over is None or not unscaled(over):
        return False
    if draft.op == ("ReduceVariance" if squared else "ReduceMean") and _over_batch(over, x):
        return True
    if not squared:
        return False
    summed = draft.op in ("ReduceMean", "ReduceSum")
    below = power_below(builder.drafts[over.source], 2.0) if summed else None
    if below is None or not view_of(over).same(_rows(shape_of(x))) or not _plain(below):
        return False
    centred = builder.drafts[below.source]
    means = [one for one in present(centred) if one.scale == -1.0]
    data = [one for one in present(centred) if one.scale == 1.0 and not one.shift]
    if centred.op != "Add" or len(means) != 1 or len(data) != 1 or len(present(centred)) != 2:
        return False
    whole = (data[0].source, data[0].output) == (x.source, x.output) and _plain(data[0])
    average = builder.drafts[means[0].source]
    read = average.inputs[0] if average.op == "ReduceMean" else None
    if not whole or read is None or not _over_batch(read, x):
        return False
    drafts += [builder.drafts[over.source], centred, average]
    return True


def _over_batch(over: Edge, x: Edge) -> bool:
    """Whether a statistic is taken of all that a norm normalises, channel by channel."""
    if (over.source, over.output) != (x.source, x.output) or not unscaled(over):
        return False
    whole = shape_of(x)
    return _whole_batch(over, shape_of(over), whole)


def _plain(edge: Edge) -> bool:
    return unscaled(edge) and view_of(edge).identity


def _take_in(builder: Builder, norm: Draft, mean: _Kept, variance: _Kept) -> None:
    """Puts one operator in the place of a norm and of what updates its statistics."""
    channels = norm.shape[1]
    vectors = [reshape(kept.buffer, (channels,)) for kept in (mean, variance)]
    operands = [*norm.inputs[:FIRST_STATISTIC], *vectors]
    kinds = [TensorType((channels,), kept.update.outputs[0].dtype) for kept in (mean, variance)]
    parts = [part for kept in (mean, variance) for part in (kept.update, *kept.drafts)]
    native = tuple(dict.fromkeys(by for part in (norm, *parts) for by in part.native))
    through = tuple(by for part in parts for edge in present(part) for by in edge.through)
    new = builder.add(
        NORM,
        operands,
        {**norm.attrs, "momentum": mean.momentum},
        (norm.outputs[0], *kinds),
        native=tuple(dict.fromkeys((*native, *through))),
        like=norm,
    )
    new.locations[0], new.aliases = norm.locations[0], list(norm.aliases)
    builder.replace(norm, builder.read(new))
    for output, kept in enumerate((mean, variance), start=1):
        place = kept.update.locations[0]
        if place is not None:
            new.locations[output] = Location(place.value, place.view.reshape((channels,)))
        builder.replace(kept.update, reshape(builder.read(new, output), kept.update.shape))
    builder.note("statistics_into_norm", norm)
