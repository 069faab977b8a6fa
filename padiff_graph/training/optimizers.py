"""The two optimizers of a check: found behind what the user gave, and refused where they cannot be
used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from padiff_graph.capture.abilities import Optimizers
from padiff_graph.capture.backend import backend, needed
from padiff_graph.capture.engine import Array
from padiff_graph.capture.master_weights import MASTERED
from padiff_graph.errors import UsageError, UsageTypeError
from padiff_graph.request.inputs import side_names
from padiff_graph.training.held_state import held_tensors, members_of

__all__ = ["Stepper", "check_optimizers", "check_train_step"]


@dataclass(frozen=True)
class Stepper:
    """One side's optimizer.

    Attributes:
        framework: whose it is.
        model: the model that it trains.
        given: as the user gave it.
        optimizers: the framework's optimizers: the given one, or those that a callable uses.
        masters: float32 copies of weights in half precision that these own in their place, by
            parameter name, as they were found.
        copies: such tensors that no optimizer owns: a callable may update them by hand.
        others: whether it uses optimizers that own nothing of the model, as of one flat copy.
    """

    framework: str
    model: Any
    given: Any
    optimizers: tuple[Any, ...]
    masters: Mapping[str, Any] = field(default_factory=dict)
    copies: Mapping[str, Any] = field(default_factory=dict)
    others: bool = False

    @classmethod
    def of(cls, framework: str, model: Any, given: Any, used: Sequence[Any]) -> Stepper:
        """With the masters that the optimizers own now, while they are what the weights are.

        Args:
            used: optimizers that the callable uses; those that own weights of the model are its.
        """
        tools, found = needed(backend(framework).optimizers), {}
        optimizers = tuple(one for one in used if tools.settings(one, model))
        for optimizer in optimizers:
            found.update(tools.masters(optimizer, model))
        others = len(optimizers) < len(used)
        bare = cls(framework, model, given, optimizers, found, others=others)
        owned = {id(tensor) for tensor in found.values()}
        free = [tensor for tensor in bare.tensors() if id(tensor) not in owned]
        return replace(bare, copies=tools.copies(model, free) if free else {})

    def tensors(self) -> list[Any]:
        """Tensors that the user's callable holds; the model and optimizers look after their own."""
        if self.direct or not hasattr(self.model, "named_parameters"):
            return []
        values = backend(self.framework).values
        spared = (*self.optimizers, *self.model.parameters(), *self.model.buffers(), self.model)
        return held_tensors(self.given, spared, values.is_tensor)

    @property
    def tools(self) -> Optimizers:
        """What its framework can do with optimizers."""
        return needed(backend(self.framework).optimizers)

    @property
    def direct(self) -> bool:
        """Whether the user gave an optimizer, not a callable."""
        return len(self.optimizers) == 1 and self.optimizers[0] is self.given

    @property
    def steps_alone(self) -> bool:
        """Whether the tool can have every optimizer take a step: one that has to evaluate the loss
        again (LBFGS) needs a closure of the user's, and what it does to masters does not reach the
        weights by itself."""
        if self.masters:
            return False
        return not any(self.tools.refusal(optimizer) for optimizer in self.optimizers)

    @property
    def plain(self) -> bool:
        """Whether the optimizer's settings say all that is done to gradients: no callable, no
        hook."""
        return self.direct and not self.tools.is_hooked(self.given)

    def advance(self) -> None:
        """The optimizer's turn in a training loop: the callable, or a step and gradients
        cleared."""
        if self.direct:
            self.tools.advance(self.given)
        else:
            self.given()

    def may_add_up(self) -> bool:
        """Whether something may hold weights in full beside the model: masters, optimizers of other
        tensors, or float32 tensors of as many numbers."""
        if self.masters or self.others or not hasattr(self.model, "named_parameters"):
            return True
        values = backend(self.framework).values
        held = sum(
            values.array(tensor).size
            for tensor in self.tensors()
            if values.dtype(tensor) == MASTERED
        )
        return held >= sum(values.array(each).size for each in self.model.parameters())

    def all_masters(self) -> dict[str, Any]:
        """The masters, with those that optimizers made themselves meanwhile."""
        found = {**self.copies, **self.masters}
        for optimizer in self.optimizers:
            found.update(self.tools.masters(optimizer, self.model))
        return found

    def settings(self) -> dict[str, dict[str, object]]:
        """What is done to each parameter, by its name; empty where a callable hides its
        optimizer."""
        found: dict[str, dict[str, object]] = {}
        for optimizer in self.optimizers:
            found.update(self.tools.settings(optimizer, self.model))
        return found

    def state(self) -> dict[str, dict[str, Array]]:
        """What is remembered of each parameter: parameter name -> name of the state -> numbers."""
        found: dict[str, dict[str, Array]] = {}
        for optimizer in self.optimizers:
            found.update(self.tools.state(optimizer, self.model))
        return found


def check_optimizers(
    optimizer: Any, models: tuple[Any, Any], frameworks: tuple[str, str]
) -> tuple[Stepper, Stepper] | None:
    """Takes `optimizer` apart, None where there is none.

    Raises:
        UsageTypeError, UsageError: where it is no pair of optimizers or callables, the two are
            swapped, or one trains no parameter of its model.
    """
    shape = (
        "optimizer is a pair [paddle_optimizer, torch_optimizer] of optimizers, or callables that"
        " do both step and clear-grad"
    )
    if optimizer is None:
        return None
    if not isinstance(optimizer, (list, tuple)):
        raise UsageTypeError(f"{shape}; found {type(optimizer).__qualname__}")
    if len(optimizer) != 2:
        raise UsageError(f"{shape}; found {len(optimizer)} members")
    for framework in frameworks:
        if backend(framework).optimizers is None:
            raise UsageError("an ONNX model cannot be trained; leave the optimizer out")
    first, second = (
        _stepper(shape, position, optimizer, models, frameworks) for position in (0, 1)
    )
    return first, second


def check_train_step(
    train_step: Any, models: tuple[Any, Any], frameworks: tuple[str, str]
) -> tuple[Stepper, Stepper]:
    """Takes `train_step` apart: callables of (model, batch) that do one step of the user's loop.

    Raises:
        UsageTypeError, UsageError: where it is no pair of callables, or a model cannot be trained.
    """
    shape = (
        "train_step is a pair [paddle_step, torch_step] of callables of (model, batch) that do what"
        " a training loop does with one batch"
    )
    if not isinstance(train_step, (list, tuple)):
        raise UsageTypeError(f"{shape}; found {type(train_step).__qualname__}")
    if len(train_step) != 2:
        raise UsageError(f"{shape}; found {len(train_step)} members")
    for side, given in zip(side_names(frameworks), train_step, strict=True):
        if isinstance(given, type) or not callable(given):
            raise UsageTypeError(f"{shape}; the {side} side's is {given!r}")
    made = []
    for given, model, framework in zip(train_step, models, frameworks, strict=True):
        tools = backend(framework).optimizers
        if tools is None:
            raise UsageError("an ONNX model cannot be trained; leave train_step out")
        used = tuple(_used(given, tools.is_optimizer))
        made.append(Stepper.of(framework, model, given, used))
    return made[0], made[1]


def _stepper(
    shape: str,
    position: int,
    pair: Sequence[Any],
    models: tuple[Any, Any],
    frameworks: tuple[str, str],
) -> Stepper:
    given, framework = pair[position], frameworks[position]
    side = side_names(frameworks)[position]
    tools = needed(backend(framework).optimizers)
    foreign = needed(backend(frameworks[1 - position]).optimizers)
    if foreign is not tools and foreign.is_optimizer(given):
        raise UsageTypeError(
            f"{shape}; the {side} side's is a {frameworks[1 - position]} optimizer; swap the two"
        )
    if not tools.is_optimizer(given) and (isinstance(given, type) or not callable(given)):
        raise UsageTypeError(f"{shape}; the {side} side's is {given!r}")
    found = tuple(_used(given, tools.is_optimizer))
    for one in found:
        refusal = tools.refusal(one) if one is given else ""
        if refusal:
            raise UsageError(f"optimizer: {refusal}")
    stepper = Stepper.of(framework, models[position], given, found)
    if found and not stepper.optimizers:
        raise UsageError(
            f"optimizer: the {side} side's owns no parameter of"
            f" {type(models[position]).__qualname__}; build it from that model's parameters()"
        )
    return stepper


def _used(
    thing: Any, wanted: Callable[[object], bool], depth: int = 3, seen: set[int] | None = None
) -> Iterator[Any]:
    """Optimizers that a callable uses: itself, closure cells, globals that its code names, bound
    objects."""
    seen = set() if seen is None else seen
    if id(thing) in seen or depth < 0 or isinstance(thing, type):
        return
    if hasattr(thing, "named_parameters"):
        return
    seen.add(id(thing))
    if wanted(thing):
        yield thing
        return
    for member in members_of(thing):
        yield from _used(member, wanted, depth - 1, seen)
