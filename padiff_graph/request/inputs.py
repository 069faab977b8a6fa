"""What a user hands to a check: two models, their inputs, losses. Told apart before anything runs.

Inputs correspond by their values: the two sides may spell them differently, but they hold the same
numbers.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from padiff_graph.capture.backend import backend, framework_of
from padiff_graph.capture.leaf_names import leaves, values
from padiff_graph.errors import UsageError, UsageTypeError

__all__ = ["Inputs", "check_inputs", "check_losses", "check_models", "check_pair", "pair_leaves"]

Array = np.ndarray[Any, Any]
SIDES = ("paddle", "torch")
ARGUMENTS = ("layer", "module")


@dataclass(frozen=True)
class Inputs:
    """The checked inputs of a check.

    Attributes:
        first, second: each model's keyword arguments, as the user gave them.
        pairs: which leaf of the first corresponds to which of the second.
        notes: what the user should know, in sentences.
    """

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    pairs: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def check_models(layer: Any, module: Any) -> tuple[str, str]:
    """Names the frameworks of the two models.

    Raises:
        UsageTypeError: where one is no model (a class, a tensor), or the two are swapped.
    """
    found = []
    for argument, model in zip(ARGUMENTS, (layer, module), strict=True):
        if isinstance(model, type):
            raise UsageTypeError(
                f"{argument}: expected a model, found the class {model.__qualname__}; pass an instance, {model.__name__}(...)"
            )
        try:
            found.append(framework_of(model))
        except TypeError as error:
            raise UsageTypeError(f"{argument}: {error}") from None
    if tuple(found) == ("torch", "paddle"):
        raise UsageTypeError(
            f"the models are swapped: layer is the Paddle model and comes first, module is the torch model; found layer={type(layer).__qualname__} (torch), module={type(module).__qualname__} (paddle)"
        )
    return found[0], found[1]


def check_inputs(layer: Any, module: Any, example_inp: Any) -> Inputs:
    """Checks `example_inp` against both models.

    Raises:
        UsageTypeError, UsageError: for a wrong structure, swapped sides, argument names that a
            forward does not take or lacks, and inputs that differ in value, shape or dtype.
    """
    frameworks = check_models(layer, module)
    first, second = check_pair(example_inp, frameworks)
    for argument, model, example in zip(ARGUMENTS, (layer, module), (first, second), strict=True):
        if not _is_onnx(model):
            _check_arguments(argument, model, example)
    for argument, framework, example in zip(ARGUMENTS, frameworks, (first, second), strict=True):
        _check_materialised(argument, framework, example)
    pairs, notes = _paired(_leaves(frameworks[0], first), _leaves(frameworks[1], second))
    _check_numbers(frameworks, first, second)
    return Inputs(first, second, pairs, notes)


def check_pair(
    example_inp: Any, frameworks: tuple[str, str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Takes `example_inp` apart into the two models' keyword arguments.

    Raises:
        UsageTypeError, UsageError: where it is no pair of dicts, or the pair is in the wrong order.
    """
    shape = "example_inp is a pair (paddle_input, torch_input) of dicts from forward's argument name to value"
    if (
        isinstance(example_inp, Mapping)
        or not isinstance(example_inp, Sequence)
        or isinstance(example_inp, str)
    ):
        raise UsageTypeError(f"{shape}; found {type(example_inp).__qualname__}")
    if len(example_inp) != 2:
        raise UsageError(f"{shape}; found {len(example_inp)} members")
    for position, (side, example) in enumerate(zip(SIDES, example_inp, strict=True)):
        if not isinstance(example, Mapping):
            raise UsageTypeError(
                f"{shape}; found {type(example).__qualname__} for the {side} side (member {position}); write {{'x': value}}"
            )
        for name in example:
            if not isinstance(name, str):
                raise UsageTypeError(
                    f"{shape}; found the name {name!r} ({type(name).__name__}) on the {side} side"
                )
    first, second = example_inp
    strangers = [
        _strangers(example, framework)
        for example, framework in zip((first, second), frameworks, strict=True)
    ]
    if frameworks[0] != frameworks[1] and strangers[0] and strangers[1]:
        raise UsageTypeError(
            f"the inputs are swapped: the {frameworks[0]} model's come first; found {strangers[0][0]} first and {strangers[1][0]} second"
        )
    for side, stranger, framework in zip(SIDES, strangers, frameworks, strict=True):
        if stranger:
            raise UsageTypeError(
                f"the {side} side's inputs go to a {framework} model; found {stranger[0]}; convert it first"
            )
    return first, second


def check_losses(
    loss_fn: Any, frameworks: tuple[str, str]
) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    """Takes `loss_fn` apart into each model's loss, (None, None) where there is none.

    Raises:
        UsageTypeError, UsageError: where it is no pair of callables of one argument, or swapped.
    """
    shape = "loss_fn is a pair [paddle_loss, torch_loss] of callables of exactly one argument, the model's output"
    if loss_fn is None:
        return None, None
    if not isinstance(loss_fn, (list, tuple)):
        raise UsageTypeError(f"{shape}; found {type(loss_fn).__qualname__}")
    if len(loss_fn) != 2:
        raise UsageError(f"{shape}; found {len(loss_fn)} members")
    for side, loss in zip(SIDES, loss_fn, strict=True):
        if isinstance(loss, type) or not callable(loss):
            raise UsageTypeError(f"{shape}; the {side} side's is {loss!r}, which is no function")
        _check_one_argument(shape, side, loss)
    kinds = [_framework_or_none(loss) for loss in loss_fn]
    if frameworks[0] != frameworks[1]:
        for side, kind, framework in zip(SIDES, kinds, frameworks, strict=True):
            if kind not in (None, framework):
                raise UsageTypeError(
                    f"{shape}; the {side} side's is a {kind} loss for a {framework} model; swap the two"
                )
    return loss_fn[0], loss_fn[1]


def pair_leaves(
    first: Mapping[str, Array], second: Mapping[str, Array]
) -> tuple[tuple[str, str], ...]:
    """Which input of the first model corresponds to which of the second: by equal values; among
    equals by name, then by order. What has no equal is not in the answer.

    Args:
        first, second: input leaves by name, as arrays.
    """
    rest = dict(second)
    pairs: dict[str, str] = {}
    for agree in (_same_array, _same_elements, _same_layout):
        for by_name in (True, False):
            for name, left in first.items():
                if name in pairs:
                    continue
                candidates = [name] if by_name and name in rest else [] if by_name else list(rest)
                for candidate in candidates:
                    if agree(left, rest[candidate]):
                        pairs[name] = candidate
                        del rest[candidate]
                        break
    return tuple((name, pairs[name]) for name in first if name in pairs)


# -- values


@dataclass(frozen=True)
class _Leaf:
    name: str
    array: Array
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype}{list(self.array.shape)})"


def _leaves(framework: str, example: Mapping[str, Any]) -> dict[str, _Leaf]:
    """Tensor leaves, and numpy arrays, which count as tensors here."""
    tools = backend(framework).values
    found = leaves(example, lambda value: tools.is_tensor(value) or isinstance(value, np.ndarray))
    return {
        name: _Leaf(
            name,
            *(
                (value, str(value.dtype))
                if isinstance(value, np.ndarray)
                else (tools.array(value), tools.dtype(value))
            ),
        )
        for name, value in found.items()
    }


def _paired(
    first: Mapping[str, _Leaf], second: Mapping[str, _Leaf]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    pairs = pair_leaves(
        {name: leaf.array for name, leaf in first.items()},
        {name: leaf.array for name, leaf in second.items()},
    )
    for left, right in pairs:
        if first[left].dtype != second[right].dtype:
            raise UsageError(
                f"example_inp: the inputs {left} (paddle) and {right} (torch) hold the same numbers in different dtypes, "
                f"{first[left].dtype} and {second[right].dtype}; give both sides the same dtype"
            )
    left_over = [leaf for name, leaf in first.items() if name not in dict(pairs)]
    right_over = [
        leaf for name, leaf in second.items() if name not in {right for _, right in pairs}
    ]
    unequal = [
        (leaf, match) for leaf in left_over for match in right_over if leaf.name == match.name
    ]
    if not unequal and left_over and right_over and len(left_over) == len(right_over):
        unequal = list(zip(left_over, right_over, strict=True))
    if unequal:
        left_leaf, right_leaf = unequal[0]
        raise UsageError(
            f"example_inp: both models must be given the same inputs, but {left_leaf} (paddle) and {right_leaf} (torch) {_how_unequal(left_leaf, right_leaf)}"
        )
    notes = tuple(
        f"the {side} input {leaf} has no counterpart of equal values on the other side"
        for side, over in zip(SIDES, (left_over, right_over), strict=True)
        for leaf in over
    )
    return pairs, notes


def _how_unequal(left: _Leaf, right: _Leaf) -> str:
    if left.array.size != right.array.size:
        return "differ in shape"
    if left.dtype != right.dtype and np.issubdtype(left.array.dtype, np.floating) != np.issubdtype(
        right.array.dtype, np.floating
    ):
        return "differ in dtype and values"
    if left.array.dtype == bool or right.array.dtype == bool:
        return f"differ at {int(np.sum(left.array.reshape(-1) != right.array.reshape(-1)))} of {left.array.size} elements"
    gap = np.abs(
        left.array.reshape(-1).astype(np.float64) - right.array.reshape(-1).astype(np.float64)
    )
    worst = int(np.nanargmax(gap)) if gap.size and not np.all(np.isnan(gap)) else 0
    return f"differ in values, by up to {gap[worst]:.3g} ({left.array.reshape(-1)[worst]} and {right.array.reshape(-1)[worst]}); build both from one numpy array"


def _same_array(left: Array, right: Array) -> bool:
    return left.shape == right.shape and _equal(left, right)


def _same_elements(left: Array, right: Array) -> bool:
    """The same numbers in the same order, other shapes."""
    return (
        left.size == right.size
        and left.shape != right.shape
        and _equal(left.reshape(-1), right.reshape(-1))
    )


def _same_layout(left: Array, right: Array) -> bool:
    """The same numbers with axes in another order (NHWC against NCHW)."""
    if (
        left.ndim != right.ndim
        or left.ndim > 5
        or left.shape == right.shape
        or sorted(left.shape) != sorted(right.shape)
    ):
        return False
    return any(
        tuple(left.shape[axis] for axis in order) == right.shape
        and _equal(left.transpose(order), right)
        for order in itertools.permutations(range(left.ndim))
    )


def _equal(left: Array, right: Array) -> bool:
    if left.dtype.kind in "OUS" or right.dtype.kind in "OUS":
        return bool(np.array_equal(left, right))
    both_inexact = left.dtype.kind in "fc" and right.dtype.kind in "fc"
    if both_inexact and left.dtype != right.dtype:
        narrow = min(left.dtype, right.dtype, key=lambda kind: kind.itemsize)
        left, right = left.astype(narrow), right.astype(narrow)
    return bool(np.array_equal(left, right, equal_nan=both_inexact))


def _check_numbers(
    frameworks: tuple[str, str], first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    """Plain numbers of the same name must be equal; flags and names may be spelled as each side needs."""
    plain = [
        values(example, backend(framework).values.is_tensor)
        for framework, example in zip(frameworks, (first, second), strict=True)
    ]
    for name in plain[0].keys() & plain[1].keys():
        left, right = plain[0][name], plain[1][name]
        if (
            all(
                isinstance(value, (int, float)) and not isinstance(value, bool)
                for value in (left, right)
            )
            and left != right
        ):
            raise UsageError(
                f"example_inp: both models must be given the same inputs, but {name} is {left} for paddle and {right} for torch"
            )


# -- arguments


def _check_arguments(argument: str, model: Any, example: Mapping[str, Any]) -> None:
    """Holds the names of the inputs against the signature of forward."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return
    parameters = signature.parameters
    takes = ", ".join(str(parameter) for parameter in parameters.values()) or "nothing"
    where = f"{argument}: forward of {type(model).__qualname__} takes ({takes})"
    any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    positional = [
        name
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL)
    ]
    unknown = [
        name for name in example if not any_name and (name not in parameters or name in positional)
    ]
    if unknown:
        only = (
            "; it is called by names, so positional-only arguments need a small wrapper"
            if positional
            else ""
        )
        raise UsageError(
            f"{where}; found the input {_names(unknown)}, which it does not take{only}"
        )
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind
        in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY, parameter.POSITIONAL_ONLY)
        and name not in example
    ]
    if missing and not _has_pre_hooks(model):
        raise UsageError(
            f"{where}; the input {_names(missing)} is missing; found {_names(list(example)) or 'none'}"
        )


def _has_pre_hooks(model: Any) -> bool:
    """Whether a hook may fill in arguments before forward is called."""
    return bool(getattr(model, "_forward_pre_hooks", None))


def _check_one_argument(shape: str, side: str, loss: Any) -> None:
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):
        return
    if any(getattr(loss, name, None) is not None for name in ("_dygraph_call_func", "_call_impl")):
        try:
            signature = inspect.signature(loss.forward)
        except (TypeError, ValueError):
            return
    try:
        signature.bind(object())
    except TypeError as error:
        raise UsageError(f"{shape}; the {side} side's takes {signature}: {error}") from None


def _check_materialised(argument: str, framework: str, example: Mapping[str, Any]) -> None:
    tools = backend(framework).values
    for name, leaf in leaves(example, tools.is_tensor).items():
        if not tools.materialised(leaf):
            raise UsageError(
                f"{argument}: the input {name} holds no numbers (a meta or lazy tensor); numbers are needed to compare; structural_diff works on shapes alone"
            )


# -- frameworks by type, without importing any


def _strangers(example: Mapping[str, Any], framework: str) -> list[str]:
    """Tensors of another framework among the values, as "name: type"."""
    found = []
    for name, value in _flat(example, "", ()):
        kind = _tensor_framework(value)
        if (
            kind not in (None, framework)
            and not (framework == "onnx" and kind == "numpy")
            and kind != "numpy"
        ):
            found.append(f"{name}, a {kind} tensor")
    return found


def _flat(value: Any, name: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if id(value) in above:
        return
    if isinstance(value, Mapping):
        members = [(str(key), member) for key, member in value.items()]
    elif isinstance(value, (list, tuple)):
        members = [(str(position), member) for position, member in enumerate(value)]
    else:
        yield name, value
        return
    for key, member in members:
        yield from _flat(member, f"{name}.{key}" if name else key, (*above, id(value)))


def _tensor_framework(value: Any) -> str | None:
    for cls in type(value).__mro__:
        root = cls.__module__.partition(".")[0]
        if cls.__name__ == "Tensor" and root in SIDES:
            return root
        if root == "numpy" and cls.__name__ == "ndarray":
            return "numpy"
    return None


def _framework_or_none(thing: Any) -> str | None:
    try:
        found: str = framework_of(thing)
    except TypeError:
        return None
    return found


def _is_onnx(model: Any) -> bool:
    return bool(framework_of(model) == "onnx")


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
