"""Native operators of both frameworks by one plain name."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["IDLE", "plain_name"]

NAMES = {
    "permute": "transpose",
    "t": "transpose",
    "swapaxes": "transpose",
    "strided_slice": "slice",
    "select": "slice",
    "narrow": "slice",
    "to": "cast",
    "_to_copy": "cast",
    "type_as": "cast",
    "constant_pad_nd": "pad",
    "pad3d": "pad",
    "concat": "cat",
    "stack": "cat",
    "multiply": "mul",
    "scale": "mul",
    "div": "mul",
    "divide": "mul",
    "neg": "mul",
    "subtract": "sub",
    "gt": "greater_than",
    "ge": "greater_equal",
    "lt": "less_than",
    "le": "less_equal",
    "repeat": "expand",
    "tile": "expand",
}
"""Native operators that do the same in words of one of them."""

IDLE = frozenset(
    {
        "reshape",
        "view",
        "unsqueeze",
        "squeeze",
        "flatten",
        "contiguous",
        "clone",
        "assign",
        "_unsafe_view",
        "alias",
    }
)
"""Operators that hand on their operand as it is."""


@lru_cache(maxsize=1 << 12)
def plain_name(op: str) -> str:
    """An operator's name without its framework: "aten.add_.Tensor" and "pd_op.add_" are "add"."""
    parts = op.split(".")
    name = (parts[1] if len(parts) > 1 else parts[0]).rstrip("_")
    return NAMES.get(name, name)
