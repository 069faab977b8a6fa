"""What planting a bug needs: places that run, calls that are changed, and the list of all bugs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle
from paddle import nn


@dataclass(frozen=True)
class Planted:
    """A planted bug.

    Attributes:
        path: dotted path of the layer where it stands.
        what: in words.
        words: lower-case fragments, one of which names the cause.
        train: whether it shows in training mode only.
        copy: whether weights are copied by the check (auto_weights).
        also: other paths that are as exact (the two layers of a swap).
        extra: further parameters of the check.
    """

    path: str
    what: str
    words: tuple[str, ...]
    train: bool = False
    copy: bool = True
    also: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Bug = Callable[[Any, random.Random], "Planted | None"]


BUGS: dict[str, Bug] = {}


def bug(function: Bug) -> Bug:
    BUGS[function.__name__] = function
    return function


def executed(layer: Any, inputs: Mapping[str, Any]) -> None:
    """Runs the model once and notes on each layer how often it was called, in which order, and on
    what shapes."""
    hooks = []
    order = itertools.count()

    def started(sub: Any) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            sub.__dict__.setdefault("_bench_first", next(order))

        return hook

    def noted(sub: Any) -> Callable[..., None]:
        def hook(_: Any, given: Any, result: Any) -> None:
            sub.__dict__["_bench_calls"] = sub.__dict__.get("_bench_calls", 0) + 1
            tensors = [value for value in given if isinstance(value, paddle.Tensor)]
            sub.__dict__["_bench_in"] = list(tensors[0].shape) if tensors else None
            sub.__dict__["_bench_out"] = (
                list(result.shape) if isinstance(result, paddle.Tensor) else None
            )

        return hook

    for _, sub in layer.named_sublayers(include_self=True):
        hooks.append(sub.register_forward_pre_hook(started(sub)))
        hooks.append(sub.register_forward_post_hook(noted(sub)))
    with paddle.no_grad():
        layer(**inputs)
    for hook in hooks:
        hook.remove()


def places(
    layer: Any, *classes: type, when: Callable[[Any], bool] = lambda sub: True
) -> list[tuple[str, Any]]:
    """Layers that ran exactly once, below the root."""
    return [
        (path, sub)
        for path, sub in layer.named_sublayers()
        if (not classes or isinstance(sub, classes))
        and sub.__dict__.get("_bench_calls") == 1
        and when(sub)
    ]


def pick(found: Sequence[tuple[str, Any]], chance: random.Random) -> tuple[str, Any] | None:
    return chance.choice(list(found)) if found else None


def parent(layer: Any, path: str) -> tuple[Any, str]:
    owner = layer
    *way, name = path.split(".")
    for step in way:
        owner = getattr(owner, step)
    return owner, name


def patched(sub: Any, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Gives one instance another forward, made from its own. Past the layer's __setattr__, which
    paddlenlp makes wrap what is set as forward and hand it the layer once more."""
    sub.__dict__["forward"] = make(sub.forward)


def after(sub: Any, change: Callable[[Any], Any]) -> None:
    """Changes the first tensor of an instance's result."""

    def make(own: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*given: Any, **named: Any) -> Any:
            result = own(*given, **named)
            if isinstance(result, tuple):
                return (change(result[0]), *result[1:])
            return change(result)

        return forward

    patched(sub, make)


@contextmanager
def swapped(owners: Sequence[Any], name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    kept = [(owner, getattr(owner, name)) for owner in owners]
    for owner, own in kept:
        setattr(owner, name, make(own))
    try:
        yield
    finally:
        for owner, own in kept:
            setattr(owner, name, own)


TENSORS = (paddle.Tensor, paddle.pir.Value)


def during(
    sub: Any,
    owners: Sequence[Any],
    name: str,
    change: Callable[..., Any],
    fits: Callable[..., bool] = lambda *_, **__: True,
) -> None:
    """While an instance's own forward runs (not its sublayers'), the first fitting call of
    `owner.name` is answered by `change(own, *arguments)`."""

    def make(own_forward: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*given: Any, **named: Any) -> Any:
            state = {"depth": 0, "done": False}

            def replaced(own: Any) -> Any:
                def call(*arguments: Any, **keywords: Any) -> Any:
                    if state["depth"] == 0 and not state["done"] and fits(*arguments, **keywords):
                        state["done"] = True
                        return change(own, *arguments, **keywords)
                    return own(*arguments, **keywords)

                return call

            def deeper(own: Any) -> Any:
                def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
                    state["depth"] += 1
                    try:
                        return own(self, *arguments, **keywords)
                    finally:
                        state["depth"] -= 1

                return call

            with swapped(owners, name, replaced), swapped([nn.Layer], "__call__", deeper):
                return own_forward(*given, **named)

        return forward

    patched(sub, make)


def tensor(value: Any) -> bool:
    return isinstance(value, TENSORS)


def same_shape(*values: Any) -> bool:
    return (
        len(values) >= 2
        and tensor(values[0])
        and tensor(values[1])
        and list(values[0].shape) == list(values[1].shape)
    )
