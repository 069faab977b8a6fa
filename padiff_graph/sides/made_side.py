"""What a side's function returns, taken apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.late_weights import WeightsError
from padiff_graph.errors import UsageError
from padiff_graph.request.targets import kind_of, made_by
from padiff_graph.weight_files.late_files import late_files

__all__ = ["KEYS", "made_side", "with_weights"]

KEYS = ("model", "inputs", "loss", "optimizer")


def made_side(target: str) -> dict[str, Any]:
    """The model of a side with what belongs to it; None for what there is none of.

    Raises:
        UsageError: the target is no function, or returns something else.
    """
    made = made_by(target)
    side: dict[str, Any] = dict.fromkeys(KEYS)
    if isinstance(made, Mapping):
        unknown = [str(key) for key in made if key not in KEYS]
        if unknown or "model" not in made:
            raise UsageError(
                f"{target} returns a dict; expected 'model' and, where there are any, 'inputs', "
                f"'loss' and 'optimizer'; found {', '.join(map(str, made)) or 'none'}"
            )
        side.update(made)
    elif isinstance(made, (tuple, list)) and len(made) == 2:
        side["model"], side["inputs"] = made
    else:
        raise UsageError(
            f"expected {target} to return (model, inputs) or a dict with 'model'; it returned "
            f"{kind_of(made)}"
        )
    try:
        framework_of(side["model"])
    except TypeError as error:
        raise UsageError(f"{target}: {error}") from None
    inputs = side["inputs"]
    if inputs is not None and not isinstance(inputs, Mapping):
        raise UsageError(
            f"{target}: inputs are a dict from forward's argument name to value; found "
            f"{kind_of(inputs)}"
        )
    return side


@contextmanager
def with_weights(side: Mapping[str, Any], weights: str | os.PathLike[str] | None) -> Iterator[None]:
    """Inside, the model of a side has the weights in some files.

    Raises:
        UsageError: the files are not there or do not hold them, or the model cannot do so.
    """
    if weights is None:
        yield
        return
    with ExitStack() as stack:
        try:
            framework = framework_of(side["model"])
            ability = backend(framework).late_weights
            if ability is None:
                raise UsageError(f"weights: a model of {framework} has them in its own file")
            stack.enter_context(ability.attached(side["model"], late_files(weights)))
        except WeightsError as error:
            raise UsageError(f"weights {os.fspath(weights)}: {error}") from None
        yield
