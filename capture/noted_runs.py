"""A model's runs, noted while a context lasts: what it was given and returned, in which mode."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.abilities import WatchedPass
from padiff_graph.capture.leaf_names import leaves, output_leaves

__all__ = ["NotedRuns", "arguments_by_name", "noting_runs", "weighted_sum"]

Array = np.ndarray[Any, Any]


@dataclass
class NotedRuns:
    """The runs since the last one was taken.

    Attributes:
        inputs, outputs: arrays of each run by leaf name.
        training: the mode of each.
        slopes: what a backward pass left of each run's outputs, by leaf name: gradients.
        autocast: the half precision of an autocast around a run, "" for none.
    """

    inputs: list[Mapping[str, Array]] = field(default_factory=list)
    outputs: list[Mapping[str, Array]] = field(default_factory=list)
    training: list[bool] = field(default_factory=list)
    slopes: list[dict[str, Array]] = field(default_factory=list)
    autocast: str = ""

    def differentiated(self, loss: float, gradients: Mapping[str, Array]) -> WatchedPass:
        """The backward pass that these runs led to; they are taken out.

        Args:
            loss: the number that was differentiated.
            gradients: what stands in the parameters afterwards, by name.
        """
        runs = (tuple(self.inputs), tuple(self.outputs), tuple(self.training))
        watched = WatchedPass(*runs, loss, gradients, tuple(self.slopes), self.autocast)
        self.inputs, self.outputs, self.training, self.slopes = [], [], [], []
        self.autocast = ""
        return watched


@contextmanager
def noting_runs(
    model: Any,
    is_tensor: Callable[[object], bool],
    array: Callable[[Any], Array],
    autocast: Callable[[], str],
) -> Iterator[NotedRuns]:
    """Notes every run of a model by its `forward`, which is as it was afterwards.

    Args:
        model: of either framework.
        is_tensor, array: of that framework.
        autocast: the half precision of an autocast that is on there, "" for none.
    """
    runs = NotedRuns()
    handles: list[Any] = []
    own = vars(model)
    kept, had = own.get("forward"), "forward" in own
    original = model.forward

    def noted(*given: Any, **named: Any) -> Any:
        inputs = {
            name: np.array(array(leaf))
            for name, leaf in leaves(arguments_by_name(original, given, named), is_tensor).items()
        }
        result = original(*given, **named)
        outputs = output_leaves(result, is_tensor)
        runs.inputs.append(inputs)
        runs.outputs.append({name: np.array(array(leaf)) for name, leaf in outputs.items()})
        runs.slopes.append(_noted_slopes(outputs, array, handles))
        runs.training.append(bool(model.training))
        runs.autocast = runs.autocast or autocast()
        return result

    own["forward"] = noted
    try:
        yield runs
    finally:
        # an output may be a parameter, which lives on
        for handle in handles:
            handle.remove()
        if had:
            own["forward"] = kept
        else:
            own.pop("forward", None)


def weighted_sum(
    tensors: Sequence[Any], factors: Sequence[Any], array: Callable[[Any], Array]
) -> float:
    """The one number that a backward pass is of.

    Args:
        tensors: what is handed to it.
        factors: a weight for each, a tensor or None for one; those that are left out are None.
        array: of the framework.
    """
    padded = [*factors, *[None] * (len(tensors) - len(factors))]
    total = 0.0
    for tensor, factor in zip(tensors, padded, strict=True):
        weight = 1.0 if factor is None else array(factor)
        total += float((array(tensor) * weight).sum())
    return total


def _noted_slopes(
    outputs: Mapping[str, Any], array: Callable[[Any], Array], handles: list[Any]
) -> dict[str, Array]:
    """Gradients of outputs, filled in by a backward pass.

    Args:
        handles: of the hooks that do it, to be removed.
    """
    slopes: dict[str, Array] = {}

    def noting(name: str) -> Callable[[Any], None]:
        def note(gradient: Any) -> None:
            slopes[name] = np.array(array(gradient))

        return note

    for name, leaf in outputs.items():
        # Paddle's word for it, else torch's
        if not getattr(leaf, "stop_gradient", not getattr(leaf, "requires_grad", False)):
            handles.append(leaf.register_hook(noting(name)))
    return slopes


def arguments_by_name(
    forward: Any, given: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments by the names that the forward has for them."""
    try:
        bound = inspect.signature(forward).bind(*given, **named).arguments
    except (TypeError, ValueError):  # no signature, or a call that fails by itself
        return {**{str(number): value for number, value in enumerate(given)}, **named}
    arguments = dict(bound)
    for name, parameter in inspect.signature(forward).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(name, {}))
    return arguments
