"""Running PyTorch: the user's model, and captured operations one by one.

A draw (`run(draw=...)`) is raw numbers (see `padiff_graph.capture.raw_draws`) in the shape of the
node's first result; for a dropout of channels one for each channel, for a fused attention one for
each weight.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import torch

from padiff_graph.capture import leaf_names
from padiff_graph.capture.double_precision import FrameworkTensors, widened
from padiff_graph.capture.engine import Array, Run, same_numbers, session_of
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.handed_in import Containers, HandedIn
from padiff_graph.capture.late_array import LateArray, fresh, kept
from padiff_graph.capture.late_weights import LateModel, late_model
from padiff_graph.capture.python_state import Watch
from padiff_graph.capture.torch import effects, values
from padiff_graph.capture.torch.aten_call import run_node
from padiff_graph.capture.torch.aten_schema import DTYPES
from padiff_graph.capture.torch.internals import SWITCHES_ITSELF, reenters, version_of
from padiff_graph.capture.torch.late_weights import Reader, reading
from padiff_graph.capture.torch.leaf_hooks import (
    StandingHooks,
    hooked_alone,
    standing_hooks,
    without_hooks,
)
from padiff_graph.capture.torch.quiet import quiet
from padiff_graph.capture.torch.refusals import refusals_said
from padiff_graph.capture.torch.state import generators

__all__ = ["TorchEngine", "named_tensors"]

Tensor: TypeAlias = torch.Tensor

TENSORS = FrameworkTensors(values.dtype, values.array, torch.Tensor.double)


@contextmanager
def _default_double() -> Iterator[None]:
    """What is made of no float, and names no dtype, is made in float64."""
    former = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(former)


class TorchEngine:
    """Runs one torch model; see `padiff_graph.capture.engine.Engine`."""

    framework = "torch"

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.device = next(
            (t.device for t in itertools.chain(model.parameters(), model.buffers())),
            torch.device("cpu"),
        )
        self.weights = late_model(model)
        if self.weights is not None:
            self.device = torch.device("cpu")
        self.reader = Reader(self.device)
        self.recorded: effects.Effects | None = None
        self.live: dict[int, Any] = {}
        self._standing: list[StandingHooks] = []
        self.arrived: dict[str, Array] = {}

    def quiet(self, *, values: bool = True) -> AbstractContextManager[Watch]:
        """Everything run inside leaves the model and torch's global state as they were."""
        if self.weights is None:
            return quiet(self.model, values=values)
        return self._quiet(self.weights, values)

    @contextmanager
    def _quiet(self, weights: LateModel, values: bool) -> Iterator[Watch]:
        with weights.kept(), quiet(self.model, values=values) as watch:
            yield watch

    def tensor(self, array: Array, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """A fresh leaf tensor on the model's device."""
        made = torch.from_numpy(np.array(array, copy=True, order="C")).to(self.device)
        if dtype is not None:
            made = made.to(DTYPES[dtype])
        return made.requires_grad_(requires_grad)

    def array(self, tensor: Tensor) -> Array:
        """The tensor's numbers on the host, a copy where somebody might write to it later."""
        if isinstance(tensor, LateArray):
            return cast(Array, tensor)
        numbers = values.array(tensor)
        return numbers.copy() if tensor.device.type == "cpu" else numbers

    def parameters(self) -> dict[str, Tensor]:
        """The model's parameters and buffers by first dotted name: detached, sharing memory; what
        is in a file as an array that reads it."""
        own = {name: tensor.detach() for name, tensor in named_tensors(self.model).items()}
        if self.weights is not None:
            own.update((name, self.weights[name]) for name in own if name in self.weights)
        return own

    def assign(self, values: Mapping[str, Array]) -> None:
        """Writes parameters and buffers in place.

        Raises:
            KeyError: an unknown name.
            ValueError: a shape that does not fit. Nothing is written then.
        """
        own = named_tensors(self.model)
        late = {} if self.weights is None else dict.fromkeys(self.weights.weights)
        for name, array in values.items():
            if name not in own:
                raise KeyError(f"the model has no parameter or buffer {name}")
            if tuple(own[name].shape) != tuple(array.shape):
                raise ValueError(
                    f"{name} has shape {tuple(own[name].shape)}, the values given {array.shape}"
                )
            if own[name].is_meta and name not in late:
                raise ValueError(f"{name} is on the meta device and can hold no values")
        if self.weights is not None:
            self.weights.assign({name: values[name] for name in values if name in late})
        with torch.no_grad():
            for name, array in values.items():
                if name not in late:
                    _put(own[name], torch.from_numpy(np.array(array, copy=True)))

    def inputs(self, graph: ComputationGraph) -> dict[int, Tensor]:
        """The example's leaves, and constants, by the id of their node."""
        session = session_of(graph)
        self.recorded = session.recorded
        return dict(session.tensors)

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """Runs the user's own model eagerly, in the mode that it is in."""
        self._standing = standing_hooks(self.model.parameters())
        fresh: dict[str, Tensor] = {}
        given: dict[str, Tensor] = {}
        for name, leaf in leaf_names.leaves(example, values.is_tensor).items():
            given[name] = leaf.detach().clone()
            if grad and leaf.is_floating_point():
                fresh[name] = given[name].requires_grad_()
                given[name] = fresh[name].clone()  # a model may write to it, a leaf forbids that
        drawn = generators()
        versions = {name: version_of(p) for name, p in self.model.named_parameters()}
        with torch.set_grad_enabled(grad), self._weights_read(grad):
            try:
                structure = self._called(example, given)
            except RuntimeError as error:
                if not grad or SWITCHES_ITSELF not in str(error):
                    raise
                fresh = {}
                plain = {name: tensor.detach() for name, tensor in given.items()}
                structure = self._called(example, plain)
                given = plain
        outputs = leaf_names.output_leaves(structure, values.is_tensor)
        written = self._written(example, given)
        moving, put = self._moving(versions), self._containers()
        drew = generators() != drawn
        return Run(outputs, structure, moving, {}, fresh, written, put, drew)

    @contextmanager
    def _weights_read(self, grad: bool) -> Iterator[None]:
        """Inside, the model's modules have the weights that are in files."""
        self.arrived = {}
        if self.weights is None:
            yield
            return
        weights = self.weights

        def read(name: str, parameter: Tensor) -> Tensor:
            asked = grad and parameter.requires_grad and torch.is_grad_enabled()
            arrived = partial(self._arrive, name) if asked else None
            return self.reader.read(weights[name], values.dtype(parameter), arrived)

        with reading(self.model, read), self.saving():
            yield

    def _arrive(self, name: str, gradient: Array) -> None:
        self.arrived[name] = kept(gradient, self.arrived.get(name))

    def _called(self, example: Mapping[str, Any], given: Mapping[str, Tensor]) -> Any:
        inputs = leaf_names.replace(dict(example), values.is_tensor, dict(given))
        self._handed_in = HandedIn(inputs)
        return leaf_names.settled(self.model(**inputs))

    def _containers(self) -> Containers:
        """What the last call has made of the containers that it was handed."""
        return self._handed_in.changed(values.is_tensor, self.array)

    def _written(self, example: Mapping[str, Any], given: Mapping[str, Tensor]) -> dict[str, Array]:
        """The input leaves that do not hold the example's numbers any more."""
        asked = leaf_names.leaves(example, values.is_tensor)
        arrays = {name: self.array(tensor) for name, tensor in given.items()}
        return {
            name: array
            for name, array in arrays.items()
            if not same_numbers(array, values.array(asked[name]))
        }

    def _moving(self, versions: Mapping[str, int]) -> dict[str, Array]:
        """The buffers, and the parameters written since they had these versions."""
        moving = named_tensors(self.model, only_buffers=True)
        for name, parameter in self.model.named_parameters():
            if version_of(parameter) != versions.get(name):
                moving[name] = parameter
        return {name: self.array(tensor) for name, tensor in moving.items() if not tensor.is_meta}

    def evaluate(self) -> None:
        """As of `Engine`."""
        self.model.eval()

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """What each call of each module returns in an eager forward, by (path, call)."""
        names = {id(module): name for name, module in self.model.named_modules()}
        returned: dict[tuple[str, int], list[Array]] = {}
        counts: dict[str, int] = {}

        def note(module: torch.nn.Module, args: Any, result: Any) -> None:
            name = names.get(id(module))
            if name is not None:
                counts[name] = counts.get(name, -1) + 1
                tensors = leaf_names.output_leaves(result, values.is_tensor).values()
                returned[name, counts[name]] = [self.array(tensor) for tensor in tensors]

        handle = torch.nn.modules.module.register_module_forward_hook(note)
        try:
            self.forward(example, grad=False)
        finally:
            handle.remove()
        return returned

    def backward(
        self,
        run: Run,
        cotangents: Mapping[str, Array] | None = None,
        loss: Tensor | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Fills `run.gradients` from cotangents by output name, or from a loss."""
        if loss is not None:
            outputs, seeds = [loss], [torch.ones_like(loss)]
        else:
            given = {n: c for n, c in (cotangents or {}).items() if run.outputs[n].requires_grad}
            outputs = [run.outputs[name] for name in given]
            seeds = [_like(array, run.outputs[name]) for name, array in given.items()]
        wanted = {f"input:{name}": leaf for name, leaf in run.leaves.items()}
        for name, tensor in named_tensors(self.model).items():
            if tensor.requires_grad and not tensor.is_meta:
                wanted[f"parameter:{name}"] = tensor
        self.arrived = {}
        with without_hooks(self._standing):
            gradients = self._grad(outputs, list(wanted.values()), seeds, again)
        # nobody else has them, so that no copy is needed
        run.gradients = {
            name: values.array(gradient)
            for name, gradient in zip(wanted, gradients, strict=True)
            if gradient is not None
        }
        run.gradients |= {f"parameter:{name}": array for name, array in self.arrived.items()}

    def hooked_parameters(self) -> frozenset[str]:
        """Names of the parameters on which hooks of the user's stand."""
        named = named_tensors(self.model)
        hooked = {id(hooks.tensor) for hooks in standing_hooks(self.model.parameters())}
        return frozenset(name for name, tensor in named.items() if id(tensor) in hooked)

    def hooked(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """What the hooks on parameters make of these gradients."""
        own = named_tensors(self.model)
        answer: dict[str, Array] = {}
        for name, gradient in gradients.items():
            tensor = own[name]
            if not tensor.requires_grad:  # frozen since: no gradient comes to its hooks
                answer[name] = gradient
                continue
            if tensor.is_meta:
                answer[name] = self.array(hooked_alone(tensor, torch.from_numpy(fresh(gradient))))
                continue
            before, tensor.grad = tensor.grad, None
            try:
                torch.autograd.backward([tensor], [_like(gradient, tensor)], inputs=[tensor])
                answer[name] = self.array(tensor.grad)
            finally:
                tensor.grad = before
        return answer

    def run(
        self,
        node: Node,
        operands: Sequence[Tensor | None],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Reruns one captured operation out of place."""

        def run(given: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
            return run_node(
                node,
                given,
                self.device,
                double=double,
                draw=draw,
                recorded=self.recorded,
                live=self.live,
            )

        with torch.no_grad() if "no_grad" in node.marks else nullcontext():
            if not double:
                return run(operands)
            with _default_double():
                return tuple(widened(node, TENSORS, operands, run(operands), run))

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        *,
        again: bool = False,
    ) -> list[Tensor | None]:
        """Gradients of the inputs; outputs without gradient are left out."""
        return self._grad(outputs, inputs, cotangents, again)

    def _grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        again: bool,
    ) -> list[Tensor | None]:
        pairs = [
            (output, seed.to(output.dtype))
            for output, seed in zip(outputs, cotangents, strict=True)
            if output.requires_grad
        ]
        asked = [place for place, tensor in enumerate(inputs) if tensor.requires_grad]
        answer: list[Tensor | None] = [None] * len(inputs)
        # gradients of weights that were read are handed over on the way to the anchor
        ways = [inputs[place] for place in asked] + self.reader.anchors
        if not pairs or not ways:
            return answer
        if reenters([output for output, _ in pairs]):
            return self._accumulated(pairs, inputs, again)
        with refusals_said():
            gradients = torch.autograd.grad(
                [output for output, _ in pairs],
                ways,
                [seed for _, seed in pairs],
                retain_graph=again,
                allow_unused=True,
            )
        for place, gradient in zip(asked, gradients, strict=False):
            answer[place] = gradient
        return answer

    def _accumulated(
        self, pairs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor], again: bool
    ) -> list[Tensor | None]:
        """Gradients through `.grad`, which reentrant checkpointing insists on; it is put back."""
        touched = (*self.model.parameters(), *inputs)
        kept = [tensor.grad for tensor in touched]
        try:
            for tensor in touched:
                tensor.grad = None
            with refusals_said():
                torch.autograd.backward(
                    [output for output, _ in pairs], [seed for _, seed in pairs], retain_graph=again
                )
            return [tensor.grad for tensor in inputs]
        finally:
            for tensor, gradient in zip(touched, kept, strict=True):
                tensor.grad = gradient

    def late(
        self, array: Array, dtype: str | None, arrived: Callable[[Array], None] | None
    ) -> Tensor:
        """As of `Engine`."""
        return self.reader.read(array, dtype, arrived)

    def saving(self) -> AbstractContextManager[None]:
        """As of `Engine`."""
        return nullcontext() if self.weights is None else self.reader.saving()

    @contextmanager
    def recording(self, on: bool) -> Iterator[None]:
        """Switches recording of gradients on or off."""
        with torch.set_grad_enabled(on):
            yield


def named_tensors(model: torch.nn.Module, only_buffers: bool = False) -> dict[str, Tensor]:
    """Parameters and buffers by first dotted name, each tensor once."""
    pairs = model.named_buffers()
    if not only_buffers:
        pairs = itertools.chain(model.named_parameters(), pairs)
    seen: set[int] = set()
    named: dict[str, Tensor] = {}
    for name, tensor in pairs:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named


def _like(array: Array, tensor: Tensor) -> Tensor:
    made = torch.from_numpy(np.array(array, copy=True))
    return made.to(device=tensor.device, dtype=tensor.dtype)


def _put(tensor: Tensor, numbers: Tensor) -> None:
    """Writes numbers into a tensor, which may be sparse."""
    if tensor.layout != torch.strided:
        numbers = numbers.to(tensor.dtype).to_sparse(layout=tensor.layout)
    tensor.copy_(numbers)
