"""What a user hands to a check: two models and their inputs. Told apart before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.example_tensors import with_tensors
from padiff_graph.capture.late_weights import late_model
from padiff_graph.capture.leaf_names import leaves, values
from padiff_graph.capture.remote.handles import AbsentModel, RemoteModel
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.request.forward_arguments import check_arguments, misfit
from padiff_graph.request.input_pairs import InputLeaf, pair_inputs
from padiff_graph.request.module_tree import empty_parameters, has_modules

__all__ = [
    "Inputs",
    "check_inputs",
    "check_models",
    "check_pair",
    "framework_named",
    "side_names",
]

TENSORS = ("paddle", "torch")
"""Packages whose tensors are told by their class."""
ARGUMENTS = ("layer", "module")
PAIR = (
    "example_inp is a pair (paddle_input, torch_input) of dicts from forward's argument name to "
    "value"
)


@dataclass(frozen=True)
class Inputs:
    """The checked inputs of a check.

    Attributes:
        first, second: each model's keyword arguments, as the user gave them but for numpy
            arrays, which are tensors here.
        pairs: which leaf of the first corresponds to which of the second.
        notes: what the user should know, in sentences.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    pairs: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def side_names(frameworks: tuple[str, str]) -> tuple[str, str]:
    """What the two sides are called in messages: by their frameworks, where these tell them
    apart."""
    return frameworks if frameworks[0] != frameworks[1] else ("first", "second")


def check_models(layer: Any, module: Any) -> tuple[str, str]:
    """Names the frameworks of the two models.

    Raises:
        UsageTypeError: where one is no model (a class, a tensor), or the two are swapped.
    """
    first, second = framework_named("layer", layer), framework_named("module", module)
    anywhere = isinstance(module, AbsentModel) and module.second
    if (first, second) == ("torch", "paddle") and not anywhere:
        raise UsageTypeError(
            "the models are swapped: layer is the Paddle model and comes first, module is the "
            f"torch model; found layer={type(layer).__qualname__} (torch), "
            f"module={type(module).__qualname__} (paddle)"
        )
    return first, second


def framework_named(argument: str, model: Any) -> str:
    """The framework of a model, handed in as an argument of this name.

    Raises:
        UsageTypeError: it is no model.
    """
    if isinstance(model, type):
        raise UsageTypeError(
            f"{argument}: expected a model, found the class {model.__qualname__}; pass an "
            f"instance, {model.__name__}(...)"
        )
    try:
        return framework_of(model)
    except TypeError as error:
        raise UsageTypeError(f"{argument}: {error}") from None


def check_inputs(layer: Any, module: Any, example_inp: Any) -> Inputs:
    """Checks `example_inp` against both models.

    Raises:
        UsageTypeError, UsageError: for a wrong structure, swapped sides, argument names that a
            forward does not take or lacks, and inputs that differ in value, shape or dtype.
    """
    frameworks = check_models(layer, module)
    first, second = check_pair(example_inp, frameworks)
    for argument, model, example in zip(ARGUMENTS, (layer, module), (first, second), strict=True):
        if has_modules(model):
            check_arguments(argument, model, example)
        elif isinstance(model, RemoteModel) and (told := misfit(argument, model, example)):
            raise UsageError(told)
    for argument, framework, model in zip(ARGUMENTS, frameworks, (layer, module), strict=True):
        _check_filled(argument, framework, model)
    for argument, framework, example in zip(ARGUMENTS, frameworks, (first, second), strict=True):
        _check_materialised(argument, framework, example)
    ours, theirs = _leaves(frameworks[0], first), _leaves(frameworks[1], second)
    pairs, notes = pair_inputs(ours, theirs, side_names(frameworks))
    numbers = _numbers(frameworks[0], first), _numbers(frameworks[1], second)
    _check_numbers(*numbers, side_names(frameworks))
    return Inputs(first, second, pairs, notes)


def check_pair(
    example_inp: Any, frameworks: tuple[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Takes `example_inp` apart into the two models' keyword arguments.

    Raises:
        UsageTypeError, UsageError: where it is no pair of dicts, or the pair is in the wrong order.
    """
    if isinstance(example_inp, (Mapping, str)) or not isinstance(example_inp, Sequence):
        raise UsageTypeError(f"{PAIR}; found {type(example_inp).__qualname__}")
    if len(example_inp) != 2:
        raise UsageError(f"{PAIR}; found {len(example_inp)} members")
    for position, (side, example) in enumerate(
        zip(side_names(frameworks), example_inp, strict=True)
    ):
        _check_example(position, side, example)
    first, second = example_inp
    _check_strangers((first, second), frameworks)
    try:
        return with_tensors(frameworks[0], first), with_tensors(frameworks[1], second)
    except CaptureError as error:
        raise UsageError(f"example_inp: {error}") from None


def _check_example(position: int, side: str, example: Any) -> None:
    if not isinstance(example, Mapping):
        raise UsageTypeError(
            f"{PAIR}; found {type(example).__qualname__} for the {side} side "
            f"(member {position}); write {{'x': value}}"
        )
    for name in example:
        if not isinstance(name, str):
            raise UsageTypeError(
                f"{PAIR}; found the name {name!r} ({type(name).__name__}) on the {side} side"
            )


def _check_strangers(examples: tuple[Any, Any], frameworks: tuple[str, str]) -> None:
    """Refuses tensors of another framework than the model's."""
    first, second = (
        _strangers(example, framework)
        for example, framework in zip(examples, frameworks, strict=True)
    )
    if frameworks[0] != frameworks[1] and first and second:
        raise UsageTypeError(
            f"the inputs are swapped: the {frameworks[0]} model's come first; found {first[0]} "
            f"first and {second[0]} second"
        )
    sides = zip(side_names(frameworks), (first, second), frameworks, strict=True)
    for side, strangers, framework in sides:
        if strangers:
            raise UsageTypeError(
                f"the {side} side's inputs go to a {framework} model; found {strangers[0]}; "
                "convert it first"
            )


def _check_filled(argument: str, framework: str, model: Any) -> None:
    if late_model(model) is not None:
        return
    empty = empty_parameters(model, backend(framework).values.materialised)
    if empty:
        raise UsageError(
            f"{argument}: its parameter {empty[0]} holds no numbers (a meta or lazy model"
            f"{f', like {len(empty) - 1} more' if len(empty) > 1 else ''}); numbers are needed to "
            "compare: load its weights first, or name its files (Side's weights=, --first-weights, "
            "--second-weights); structural_diff works on shapes alone"
        )


def _check_materialised(argument: str, framework: str, example: Mapping[str, Any]) -> None:
    tools = backend(framework).values
    for name, leaf in leaves(example, tools.is_tensor).items():
        if not tools.materialised(leaf):
            raise UsageError(
                f"{argument}: the input {name} holds no numbers (a meta or lazy tensor); numbers "
                "are needed to compare; structural_diff works on shapes alone"
            )


def _leaves(framework: str, example: Mapping[str, Any]) -> dict[str, InputLeaf]:
    """Tensor leaves."""
    tools = backend(framework).values
    return {
        name: InputLeaf(name, tools.array(value), tools.dtype(value))
        for name, value in leaves(example, tools.is_tensor).items()
    }


def _numbers(framework: str, example: Mapping[str, Any]) -> dict[str, float]:
    """Plain numbers by name; flags and names may be spelled as each side needs."""
    plain = values(example, backend(framework).values.is_tensor)
    return {
        name: value
        for name, value in plain.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _check_numbers(
    first: Mapping[str, float], second: Mapping[str, float], sides: tuple[str, str]
) -> None:
    """Plain numbers of the same name must be equal."""
    for name, number in first.items():
        if name in second and number != second[name]:
            raise UsageError(
                f"example_inp: both models must be given the same inputs, but {name} is "
                f"{number} for {sides[0]} and {second[name]} for {sides[1]}"
            )


# -- frameworks by type, without importing any


def _strangers(example: Mapping[str, Any], framework: str) -> list[str]:
    """Tensors of another framework among the values, as "name: type"; arrays go to any."""
    kinds = {name: _tensor_framework(value) for name, value in _flat(example, "", ())}
    return [
        f"{name}, a {kind} tensor" for name, kind in kinds.items() if kind not in (None, framework)
    ]


def _flat(value: Any, name: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """What nested dicts, lists and tuples hold, by the way to it."""
    if id(value) in above:
        return
    members: list[tuple[Any, Any]]
    if isinstance(value, Mapping):
        members = list(value.items())
    elif isinstance(value, (list, tuple)):
        members = list(enumerate(value))
    else:
        yield name, value
        return
    for key, member in members:
        way = f"{name}.{key}".removeprefix(".")
        yield from _flat(member, way, (*above, id(value)))


def _tensor_framework(value: Any) -> str | None:
    for cls in type(value).__mro__:
        package = cls.__module__.partition(".")[0]
        if cls.__name__ == "Tensor" and package in TENSORS:
            return package
    return None
