"""What the capture's own operations are called where a user reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["spoken"]

OWN = "padiff_graph."
NAMES: Mapping[str, str] = {
    "custom_function": "a custom function",
    "gradient_hook": "a gradient hook",
    "module_backward_inputs": "a module's backward hook",
    "module_backward_outputs": "a module's backward hook",
}
"""What stands for the user's own code of backward, in words."""


def spoken(op: str, attrs: Mapping[str, Any] | None = None) -> str:
    """An operator's name; of the user's own code in words, with its class where that is known.

    Args:
        op: a native or normal operator, "padiff_graph.custom_function.default".
        attrs: its attributes; "function" is the dotted name of a custom function.
    """
    if not op.startswith(OWN):
        return op
    name = NAMES.get(op.removeprefix(OWN).partition(".")[0])
    if name is None:
        return op
    function = str((attrs or {}).get("function", "")).rpartition(".")[2]
    return f"{name} ({function})" if function else name
