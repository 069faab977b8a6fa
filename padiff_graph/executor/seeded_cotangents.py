"""The cotangents that regions are differentiated under: seeded normal numbers, the same whenever
asked."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import Value

__all__ = ["seeded_cotangent"]

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
    pool = _pool()
    size = int(np.prod(shape))
    start = zlib.crc32(f"{value.node}.{value.output}".encode()) % POOL
    if start + size <= POOL:
        return pool[start : start + size].reshape(shape)
    rounds, rest = divmod(size - (POOL - start), POOL)
    return np.concatenate([pool[start:], *[pool] * rounds, pool[:rest]]).reshape(shape)
