"""A recording's loss: its value and the gradients under it, and both of the outputs alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from padiff_graph.capture.engine import Engine, NotRunnable, Run
from padiff_graph.sides.recording_file import RecordingWriter
from padiff_graph.training.losses import Loss, Losses, name_of, scalar

__all__ = ["write_loss"]


def write_loss(
    writer: RecordingWriter, engine: Engine, run: Run, loss: Loss, which: str = ""
) -> dict[str, Any] | None:
    """Writes what a loss makes of a run's output.

    Args:
        which: marks the loss of a second run, which draws other numbers; no gradients of that.

    Returns:
        What the manifest says of it: how the user calls it, and why there are no gradients; None
        of a second run.

    Raises:
        UsageTypeError: it returns something else than one floating number.
    """
    value = scalar(loss(run.structure), "recorded", engine.framework)
    writer.add(f"loss{which}", "value", engine.array(value))
    _of_outputs(writer, engine, run, loss, which)
    if which:
        return None
    facts = {"name": name_of(loss), "ungraded": ""}
    run.gradients = {}
    try:
        engine.backward(run, None, loss=value)
    except NotRunnable as error:  # Paddle's recurrent layers outside training mode
        return {**facts, "ungraded": str(error)}
    for name, array in run.gradients.items():
        writer.add("gradients.loss", name, array)
    keys = {name: f"parameter:{name}" for name in engine.hooked_parameters()}
    seen = {name: run.gradients[key] for name, key in keys.items() if key in run.gradients}
    for name, array in engine.hooked(seen).items():
        writer.add("hooked.loss", keys[name], array)
    return facts


def _of_outputs(writer: RecordingWriter, engine: Engine, run: Run, loss: Loss, which: str) -> None:
    """Writes the loss of the outputs alone in each precision that it can be computed in."""
    both = Losses((loss, loss), (engine.framework, engine.framework))
    both.seen.update({0: run.structure, 1: run.structure})
    names = [(name, name) for name in run.outputs]
    for kind in (np.dtype(np.float64), np.dtype(np.float32)):
        try:
            value, gradients = both.of_second(1, (engine, engine), names, kind)
        except Exception:  # one with float32 constants of its own cannot take float64
            if kind == np.float32:
                raise
            continue
        writer.add(f"loss.{kind}{which}", "value", np.asarray(value))
        for name, array in gradients.items():
            writer.add(f"loss.{kind}{which}", f"output:{name}", array)
