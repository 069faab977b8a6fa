"""Realistic port bugs, each planted at a random place of any Paddle model.

A bug is a function (layer, random) -> Planted | None: it alters the layer in place, by its layers'
attributes or by a patched forward of one instance, and says where it stands; None where the model
has no place for it. Only what the example really runs is chosen from.
"""

from bugs import attention, layers, numerics, operations
from bugs.planting import BUGS, TENSORS, Planted, executed, pick, places, swapped

__all__ = [
    "BUGS",
    "TENSORS",
    "Planted",
    "attention",
    "executed",
    "layers",
    "numerics",
    "operations",
    "pick",
    "places",
    "swapped",
]
