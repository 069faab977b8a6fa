"""What a caller may have switched on in Paddle around a call: set aside, or refused in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import paddle

from padiff_graph.capture.capture_errors import ContextError

__all__ = ["set_aside"]


@contextmanager
def set_aside(arguments: Sequence[Any]) -> Iterator[None]:
    """Gradients are recorded while the block runs, also inside `no_grad`.

    Raises:
        ContextError: Paddle is in static mode, in which a Layer holds no numbers. Nothing was
            changed.
    """
    static = not paddle.in_dynamic_mode()
    if static and any(map(_concerned, arguments)):
        raise ContextError(
            "Paddle is in static mode (paddle.enable_static), in which models hold no numbers; "
            "call paddle.disable_static() first"
        )
    with nullcontext() if static else paddle.enable_grad():
        yield


def _concerned(argument: Any) -> bool:
    """Whether an argument is a Layer, or a report about one."""
    return isinstance(argument, paddle.nn.Layer) or "paddle" in getattr(argument, "frameworks", ())
