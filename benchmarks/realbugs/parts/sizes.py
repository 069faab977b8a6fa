"""The sizes of the small models, and their example."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["HEAD", "HEADS", "LENGTH", "WIDTH", "WORDS", "causal", "ids"]

WORDS, WIDTH, HEADS, LENGTH = 24, 16, 2, 6
HEAD = WIDTH // HEADS


def ids(length: int = LENGTH, seed: int = 0) -> Any:
    """Two rows of word numbers; 0 is left to padding."""
    return np.random.RandomState(seed).randint(1, WORDS, (2, length)).astype("int64")


def causal(length: int = LENGTH) -> Any:
    """What is added to scores so that no place sees a later one."""
    return np.triu(np.full((length, length), -1e9, "float32"), 1)
