"""A loss as a model: its input is what it was called with, so that what captures models captures it
too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from padiff_graph.capture.backend import backend
from padiff_graph.capture.engine import Array
from padiff_graph.capture.leaf_names import replace

__all__ = ["loss_model"]


def loss_model(
    framework: str, loss: Callable[[Any], Any], structure: Any, numbers: Mapping[str, Array]
) -> tuple[Any, dict[str, Any]] | None:
    """A loss as a model of some tensors, and an example for it; None where the framework has none.

    Args:
        framework: of the loss.
        loss: of what a model returns.
        structure: what it was called with.
        numbers: of the tensors in there that the model takes, by leaf name.
    """
    own = backend(framework)
    if own.function_model is None:
        return None

    def of_tensors(output: Mapping[str, Any]) -> Any:
        return loss(replace(structure, own.values.is_tensor, output))

    tensors = {name: own.values.tensor(array) for name, array in numbers.items()}
    return own.function_model(of_tensors), {"output": tensors}
