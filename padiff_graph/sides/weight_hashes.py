"""Weights of which a recording holds the hashes alone: what is known of them, and what stands in
their place until another model shows the numbers."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from padiff_graph.capture.engine import Array

__all__ = ["HashedWeight", "HashedWeights", "hash_of"]


class HashedWeight(TypedDict):
    """One weight: its dtype as numpy writes it, its shape, and the SHA-256 of its bytes in C order,
    in hex."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


def hash_of(array: Array) -> HashedWeight:
    """What a recording says of a weight that it does not hold."""
    laid = np.ascontiguousarray(array)
    told = hashlib.sha256(laid.tobytes()).hexdigest()
    return {"dtype": laid.dtype.str, "shape": tuple(array.shape), "sha256": told}


@dataclass
class HashedWeights:
    """The hashed weights of one recording, by dotted name.

    Attributes:
        told: of each its hash.
        shown: the numbers of those that another model turned out to hold.
    """

    told: Mapping[str, HashedWeight]
    shown: dict[str, Array] = field(default_factory=dict)

    @property
    def unknown(self) -> frozenset[str]:
        """Those whose numbers nobody has shown."""
        return frozenset(self.told.keys() - self.shown.keys())

    def shows(self, name: str, array: Array) -> bool:
        """Takes an array for a weight where it has its hash, and says whether it does."""
        shape = tuple(self.told[name]["shape"])
        fits = array.size == np.prod(shape, dtype=np.int64)
        if not fits or hash_of(array.reshape(shape)) != {**self.told[name], "shape": shape}:
            return False
        self.shown[name] = array.reshape(shape)
        return True

    def array(self, name: str) -> Array:
        """The numbers, or others of its kind that are no weight's: what is said of them is nothing
        but that they are not known."""
        if name in self.shown:
            return self.shown[name]
        told = self.told[name]
        numbers = np.random.default_rng(zlib.crc32(name.encode()))
        drawn: Array = numbers.standard_normal(tuple(told["shape"])).astype(told["dtype"])
        return drawn
