"""Gradients that hooks on parameters are shown: seeded by a parameter's own name and shape, so that
what hooks make of them can be recorded."""

from __future__ import annotations

import zlib

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["SIZES", "shown_gradient"]

SIZES = (1.0, 1e6, 1e-6)
"""How large they are: clipping far from one, or dropping what is small, does not show on ordinary
ones."""


def shown_gradient(name: str, shape: tuple[int, ...], size: float) -> Array:
    """Random numbers of about this size, the same for the same name and shape."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    drawn: Array = generator.standard_normal(shape, np.float32)
    sized: Array = np.float32(size) * drawn
    return sized
