"""PaDiff 0.2 (`pip install --no-deps padiff==0.2.0`), asked as benchmarks/peer.py asks it.

First with its own copying of weights; where it cannot copy them, with those that the pair holds,
which are the same. Half precision and training loops it does not know; it is asked without.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

from benchmarks.realbugs.case import Case, Pair
from benchmarks.realbugs.pairing import example
from benchmarks.realbugs.runners.runner import Said

__all__ = ["ask"]

TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}


def ask(case: Case, pair: Pair) -> Said:
    """Its answer, with the layer that it prints first."""
    said = _asked(pair, copied=True) if pair.copied else {"says": "cannot"}
    if said["says"] == "cannot":
        said = _asked(pair, copied=False)
    return Said(said["says"], said.get("path"), None, said.get("error", ""))


def _asked(pair: Pair, copied: bool) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import peer

    parameters: dict[str, Any] = {"auto_weights": copied}
    training = pair.training
    if training is not None and training.losses is not None:
        parameters["loss_fn"] = list(training.losses)
    if training is not None and training.optimizers is not None:
        parameters["optimizer"] = list(training.optimizers)
        parameters["steps"] = training.steps
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return peer.asked(pair.layer, pair.module, example(pair.arrays), parameters, TOLERANCE)
