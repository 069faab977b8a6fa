"""The numbers that a model holds, asked for at once: where it lives in another process, a question
for each weight takes longer than the weights."""

from __future__ import annotations

from collections.abc import Collection

from padiff_graph.capture.engine import Array, Engine
from padiff_graph.capture.remote.whole import asked_whole

__all__ = ["held_weights"]


@asked_whole
def held_weights(engine: Engine, names: Collection[str] | None = None) -> dict[str, Array]:
    """Parameters and buffers as arrays by first dotted name.

    Args:
        engine: of the model.
        names: those that are asked for, in the order of the model; None for all. What the model
            does not hold is left out.
    """
    held = engine.parameters().items()
    return {name: engine.array(own) for name, own in held if names is None or name in names}
