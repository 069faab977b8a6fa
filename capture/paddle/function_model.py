"""A function of tensors as a layer: what captures models captures losses too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle

__all__ = ["FunctionModel"]


class FunctionModel(paddle.nn.Layer):  # type: ignore[misc]
    """A layer whose forward is a function.

    Args:
        function: of one argument, a dict of tensors.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, output: Any) -> Any:
        """What the function makes of tensors."""
        return self.function(output)
