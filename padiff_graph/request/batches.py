"""Several batches for several training steps: `example_inp` as a list of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from padiff_graph.errors import UsageError

__all__ = ["split_batches"]


def split_batches(example_inp: Any, steps: int) -> list[Any]:
    """The pair of inputs of each step; one pair serves all.

    Args:
        example_inp: a pair (paddle_input, torch_input) of dicts, or a list of such pairs.
        steps: how many steps are taken.

    Raises:
        UsageError: a list has more or fewer pairs than there are steps.
    """
    if not _is_list_of_pairs(example_inp):
        return [example_inp]
    pairs = list(example_inp)
    if len(pairs) != steps:
        raise UsageError(
            f"example_inp holds {len(pairs)} pairs of inputs and steps={steps}: give one pair for "
            "each step, or a single pair for all"
        )
    return pairs


def _is_list_of_pairs(example_inp: Any) -> bool:
    return _is_sequence(example_inp) and bool(example_inp) and all(map(_is_pair, example_inp))


def _is_pair(value: Any) -> bool:
    return _is_sequence(value) and len(value) == 2 and all(isinstance(x, Mapping) for x in value)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
