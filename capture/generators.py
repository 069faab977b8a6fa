"""Where the random number generators stand that Python code of any framework may draw from."""

from __future__ import annotations

import random

import numpy as np

__all__ = ["python_generators"]


def python_generators() -> tuple[object, ...]:
    """Equal to an earlier answer exactly where neither Python nor numpy drew in between."""
    kind, words, *rest = np.random.get_state(legacy=True)
    return random.getstate(), kind, np.asarray(words).tobytes(), *rest
