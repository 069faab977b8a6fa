"""Whether two whole models compute the same: both certified graphs in float64, with the same draws.

Rounding vanishes in float64, a difference stays. How much may be left is not guessed: the second
graph is run once more with its weights and inputs moved by one unit in the last place of float32,
and the numbers of its attributes as float32 holds them, since frameworks hold some attributes and
constants so. What moves a quantity as much as that is rounding. Cotangents are random, so that
nothing cancels that does not have to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from padiff_graph.capture.engine import Array, NotRunnable
from padiff_graph.capture.late_array import late_of
from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.executor.output_pairs import OutputPair
from padiff_graph.executor.pair_run import Pair
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.seeded_cotangents import seeded_by_name
from padiff_graph.executor.tensor_pair import TensorPair
from padiff_graph.executor.whole_graph import GraphRun, example_values, run_graph
from padiff_graph.executor.whole_pairs import buffer_pairs, input_pairs, parameter_pairs
from padiff_graph.matching.result import ParameterRow
from padiff_graph.obligations.remainders import Remainder, WholeProof
from padiff_graph.referee.known_divergence import biased_variance, by_framework
from padiff_graph.referee.largest import whole_numbers
from padiff_graph.referee.referee import measure

__all__ = [
    "laid_side_by_side",
    "moved",
    "moved_inputs",
    "prove_whole",
    "seeds_of",
    "seeds_of_both",
    "whole_tensors",
]

UP = 0.5
"""Share of the numbers that are moved up; the others are moved down."""
OFF = 1.0 / 64
"""Share of an input's deviation that it is moved by to leave the kinks that it stands at: ties are
broken and zeros left by far more than float64 rounds, and the models compute much the same."""
NOTHING = 1e-12
"""Share of the largest gradient below which a gradient is zero in float64: its unit, 2e-16, summed
over a model."""


_Inputs = Mapping[str, Array] | None


def prove_whole(
    pair: Pair,
    outputs: Sequence[OutputPair],
    inputs: Sequence[tuple[str, str]],
    *,
    backward: bool,
    off_kinks: bool = False,
    counts: Mapping[str, float] | None = None,
) -> WholeProof:
    """Runs both graphs as a whole in float64, the second twice.

    Args:
        pair: both sides with shared weights and draws.
        outputs: which output corresponds to which.
        inputs: which input leaves correspond, (first, second).
        backward: whether gradients are compared too.
        off_kinks: whether the example is moved a little first, the same on both sides, so that
            nothing in it is equal by chance.
        counts: elements under each running variance of the second, which one framework updates
            with the biased variance of a batch and the other with the unbiased one.
    """
    rows = tuple(pair.rows.values())
    fed = _off_kinks(pair.second) if off_kinks else None
    try:
        seeds = seeds_of(pair.second, outputs) if backward else None
        first, second = _both(pair, outputs, seeds, double=True, fed=_fed(inputs, fed))
        nearby = moved_inputs(pair.second, fed)
        away = run_graph(moved(pair.second), seeds, double=True, fed=nearby, single=True)
    except NotRunnable as error:
        return WholeProof((), str(error))
    laid = list(laid_side_by_side(outputs, inputs, rows, first, second))
    shifted = list(laid_side_by_side(outputs, inputs, rows, first, away))
    floor = _floor(laid)
    remainders = [
        _remainder(entry, other, floor) for entry, other in zip(laid, shifted, strict=True)
    ]
    biased = {
        entry.first_name
        for entry in laid
        if entry.kind == "buffer" and _updated_biased(entry, pair.first, counts or {})
    }
    return WholeProof(tuple(remainders)).with_biased(biased)


def _updated_biased(entry: TensorPair, first: Side, counts: Mapping[str, float]) -> bool:
    """Whether it is a running variance that differs by what the frameworks do: in a batch of many
    elements by so little that only float64 shows it, so that no region told it."""
    count = counts.get(entry.second_name, 0.0)
    before = first.parameters[entry.first_name]
    both = by_framework(entry.arrays(), first.graph.framework)
    return count > 1 and biased_variance(before, *both, count)


def whole_tensors(
    pair: Pair,
    outputs: Sequence[OutputPair],
    inputs: Sequence[tuple[str, str]],
    *,
    backward: bool,
) -> tuple[TensorPair, ...]:
    """What both graphs yield as a whole in their own precision, under random cotangents. A loss
    such as the mean of a normalised output cancels, and its gradients are what rounding leaves of
    it; these do not.

    Args: as of `prove_whole`.

    Raises:
        NotRunnable: where an operation cannot be rerun, or the whole not differentiated.
    """
    seeds = seeds_of(pair.second, outputs) if backward else None
    first, second = _both(pair, outputs, seeds, double=False)
    return tuple(laid_side_by_side(outputs, inputs, tuple(pair.rows.values()), first, second))


def _both(
    pair: Pair,
    outputs: Sequence[OutputPair],
    seeds: Mapping[str, Array] | None,
    *,
    double: bool,
    fed: tuple[_Inputs, _Inputs] = (None, None),
) -> tuple[GraphRun, GraphRun]:
    ours = None if seeds is None else _laid_for_first(pair.first, outputs, seeds)
    return at_once(
        lambda: run_graph(pair.first, ours, double=double, fed=fed[0]),
        lambda: run_graph(pair.second, seeds, double=double, fed=fed[1]),
        (pair.first.engine, pair.second.engine),
    )


def _fed(inputs: Sequence[tuple[str, str]], second: _Inputs) -> tuple[_Inputs, _Inputs]:
    """The same values for both sides, by the names of each."""
    if second is None:
        return None, None
    return {ours: second[theirs] for ours, theirs in inputs if theirs in second}, second


def _off_kinks(side: Side) -> dict[str, Array]:
    """The example, each number moved by a small random share of the deviation of all."""
    moved_off: dict[str, Array] = {}
    for name, array in example_values(side).items():
        if array.dtype.kind == "f" and array.size:
            drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(array.shape)
            by = OFF * (float(array.std()) or float(np.abs(array).max()) or 1.0)
            array = (array + by * drawn).astype(array.dtype)
        moved_off[name] = array
    return moved_off


def seeds_of(second: Side, outputs: Sequence[OutputPair]) -> dict[str, Array]:
    """Random cotangents of the second's outputs that have a counterpart and a gradient."""
    return {
        pair.second: seeded_by_name(pair.second, second.shape(pair.second_value))
        for pair in outputs
        if second.dtype(pair.second_value).startswith(("float", "bfloat"))
    }


def seeds_of_both(
    sides: tuple[Side, Side], outputs: Sequence[OutputPair]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The same random cotangents on both sides.

    Raises:
        NotRunnable: where an output has another shape than its counterpart.
    """
    seeds = seeds_of(sides[1], outputs)
    return _laid_for_first(sides[0], outputs, seeds), seeds


def _laid_for_first(
    first: Side, outputs: Sequence[OutputPair], seeds: Mapping[str, Array]
) -> dict[str, Array]:
    """The same cotangents on the first's outputs.

    Raises:
        NotRunnable: where an output has another shape, so that no cotangent is the same.
    """
    laid: dict[str, Array] = {}
    for pair in outputs:
        if pair.second not in seeds:
            continue
        shape = first.shape(pair.first_value)
        if shape != seeds[pair.second].shape:
            raise NotRunnable(
                f"output {pair.first} has shape {list(shape)} and its counterpart"
                f" {list(seeds[pair.second].shape)}, so the two have no gradient in common"
            )
        laid[pair.first] = seeds[pair.second]
    return laid


def moved(side: Side) -> Side:
    """The side with each weight moved by one unit in the last place, up or down at random."""
    parameters = {
        name: late_of(array, partial(_by_one_unit, name)) for name, array in side.parameters.items()
    }
    return replace(side, parameters=parameters)


def moved_inputs(side: Side, instead: _Inputs = None) -> dict[str, Array]:
    """The example, or what is fed instead of it, moved in the same way."""
    values = example_values(side) if instead is None else instead
    return {name: _by_one_unit(name, array) for name, array in values.items()}


def _by_one_unit(name: str, array: Array) -> Array:
    """Each float32 number's neighbour; other numbers as they are."""
    if array.dtype != np.float32:
        return array
    up = np.random.default_rng(zlib.crc32(name.encode())).random(array.shape, np.float32) < UP
    toward = np.where(up, np.float32(np.inf), np.float32(-np.inf))
    neighbour: Array = np.nextafter(array, toward)
    return neighbour


def laid_side_by_side(
    outputs: Sequence[OutputPair],
    inputs: Sequence[tuple[str, str]],
    rows: Sequence[ParameterRow],
    first: GraphRun,
    second: GraphRun,
) -> Iterator[TensorPair]:
    """What two whole graphs yield: outputs, then gradients, then buffers; arguments as of
    `prove_whole`."""
    for pair in outputs:
        values = first.outputs[pair.first], second.outputs[pair.second]
        if values[0].shape == values[1].shape:
            yield TensorPair("output", pair.first, pair.second, *values)
    yield from input_pairs(inputs, first, second)
    yield from parameter_pairs(rows, first, second)
    yield from buffer_pairs(rows, first, second)


def _floor(laid: Sequence[TensorPair]) -> float:
    """What counts as zero for a gradient, by the largest of all gradients."""
    sizes = [np.abs(entry.arrays()[1]).max(initial=0.0) for entry in laid if entry.gradient]
    return NOTHING * float(max(sizes, default=0.0))


def _remainder(entry: TensorPair, moved: TensorPair, floor: float) -> Remainder:
    ours, theirs = entry.arrays()
    measured = measure(ours, theirs)
    noise = measure(moved.arrays()[1], theirs).error
    remainder = Remainder(
        entry.kind,
        entry.first_name,
        entry.second_name,
        measured.error,
        measured.scale,
        noise,
        floor if entry.gradient else 0.0,
        whole_numbers(ours, theirs),
    )
    finite = np.isfinite(ours), np.isfinite(theirs)
    lost = int((finite[0] != finite[1]).sum())
    if remainder.vanishes or not lost:
        return remainder
    both = finite[0] == finite[1]
    rest = measure(ours[both], theirs[both])
    agrees = replace(remainder, error=rest.error, scale=rest.scale).vanishes
    return replace(remainder, lost=lost) if agrees else remainder
