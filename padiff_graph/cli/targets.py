"""What the functions named on the command line return, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.errors import UsageError
from padiff_graph.request.targets import kind_of, made_by
from padiff_graph.sides.made_side import made_side

__all__ = ["load_model", "load_pair", "load_side"]

NEEDED = ("layer", "module", "example_inp")
PAIR_KEYS = (
    *NEEDED,
    "auto_weights",
    "steps",
    "options",
    "layer_map",
    "loss_fn",
    "optimizer",
    "train_step",
)
"""`compare`'s parameters."""


def load_pair(target: str) -> dict[str, Any]:
    """What a pair's function returns, as `compare`'s parameters.

    Raises:
        UsageError: it returns something else than (layer, module, example_inp) or a dict of
            compare's parameters.
    """
    made = made_by(target)
    if isinstance(made, Mapping):
        _check_keys(target, made)
        return dict(made)
    if isinstance(made, (tuple, list)) and len(made) == len(NEEDED):
        return dict(zip(NEEDED, made, strict=True))
    raise UsageError(
        f"expected {target} to return (layer, module, example_inp) or a dict of compare's "
        f"parameters; it returned {kind_of(made)}"
    )


def _check_keys(target: str, made: Mapping[Any, Any]) -> None:
    unknown = [str(key) for key in made if key not in PAIR_KEYS]
    missing = [key for key in NEEDED if key not in made]
    if unknown or missing:
        raise UsageError(
            f"{target} returns a dict; expected compare's parameters ({', '.join(PAIR_KEYS)}); "
            f"unknown: {', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}"
        )


def load_model(
    target: str, inputs: Mapping[str, Any] | None = None
) -> tuple[Any, Mapping[str, Any]]:
    """A model with its example from a function, or an ONNX file with inputs of declared shapes.

    Args:
        target: what a side's function is called; it may return (model, example_kwargs) or a dict
            with "model" and "inputs".
        inputs: in the place of its own.

    Raises:
        UsageError: it returns something else, or there are no inputs.
    """
    side = load_side(target, inputs)
    return side["model"], side["inputs"]


def load_side(target: str, inputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same as a dict of "model" and "inputs", of the "loss" and the "optimizer", None where
    there is none.

    Args:
        target, inputs: as of `load_model`.

    Raises:
        UsageError: as of `load_model`.
    """
    if target.endswith(".onnx"):
        example_inputs = needed(backend("onnx").declared_example)
        try:
            own = example_inputs(target) if inputs is None else inputs
        except CaptureError as error:  # a file that is missing or broken is wrong use
            raise UsageError(str(error)) from None
        return {"model": target, "inputs": own, "loss": None, "optimizer": None}
    side = made_side(target)
    example = side["inputs"] if inputs is None else inputs
    if example is None:
        raise UsageError(
            f"{target}: there are no inputs; let it return (model, inputs), or name them where "
            "the command takes --inputs"
        )
    return {**side, "inputs": example}
