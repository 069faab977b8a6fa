"""The cotangents that regions are differentiated under: seeded normal numbers, the same whenever
asked."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Value
from padiff_graph.capture.interpreter import differentiable

__all__ = ["output_cotangents", "seeded_by_name", "seeded_cotangent"]

POOL = 1_000_003
"""Length of the pool that cotangents are taken from; a prime, so that no axis has it as a
period."""
SEED = 20
"""Of the pool; any number does."""


@lru_cache(maxsize=1)
def _pool() -> Array:
    pool = np.random.default_rng(SEED).standard_normal(POOL, np.float32)
    pool.flags.writeable = False
    return pool


def seeded_cotangent(value: Value, shape: tuple[int, ...]) -> Array:
    """Float32 numbers for a value of this shape, taken round and round from one pool."""
    return _taken(f"{value.node}.{value.output}", shape)


def seeded_by_name(name: str, shape: tuple[int, ...]) -> Array:
    """The same for an output: told by its name, so that models of two frameworks that were recorded
    apart are given the same."""
    return _taken(f"output {name}", shape)


def output_cotangents(graph: ComputationGraph) -> dict[Value, Array]:
    """Those of all outputs that have gradients; of a value with several names, their sum."""
    seeds: dict[Value, Array] = {}
    for node in graph.of_kind("output"):
        value = node.inputs[0] if node.inputs else None
        if value is None or not differentiable(graph.record(value.node).dtype(value.output)):
            continue
        kind = graph.type_of(value)
        seed = seeded_by_name(node.name, kind.shape if kind else ())
        seeds[value] = seeds[value] + seed if value in seeds else seed
    return seeds


def _taken(key: str, shape: tuple[int, ...]) -> Array:
    pool = _pool()
    size = int(np.prod(shape))
    start = zlib.crc32(key.encode()) % POOL
    if start + size <= POOL:
        return pool[start : start + size].reshape(shape)
    rounds, rest = divmod(size - (POOL - start), POOL)
    return np.concatenate([pool[start:], *[pool] * rounds, pool[:rest]]).reshape(shape)
