"""Operations with the numbers of their attributes as float32 holds them: one framework keeps them
so, the other as the code writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node

__all__ = ["in_single"]

LARGEST = float(np.finfo(np.float32).max)


def in_single(graph: ComputationGraph, nodes: Iterable[int]) -> dict[int, Node]:
    """The operations of a graph that it makes a difference to, by number."""
    altered: dict[int, Node] = {}
    for node in nodes:
        record = graph.record(node)
        attrs = {name: _single(value) for name, value in record.attrs.items()}
        if any(attrs[name] is not value for name, value in record.attrs.items()):
            altered[node] = replace(record, attrs=attrs)
    return altered


def _single(value: Any) -> Any:
    """The nearest number of float32; the value itself where it is one, or no number at all."""
    if isinstance(value, float) and math.isfinite(value) and abs(value) < LARGEST:
        near = float(np.float32(value))
        return value if near == value else near
    if type(value) is tuple:
        members = tuple(map(_single, value))
        return value if all(map(_is, members, value)) else members
    return value


def _is(one: object, other: object) -> bool:
    return one is other
