"""Running PyTorch: the user's model, and captured operations one by one.

A draw (`run(draw=...)`) has the shape of the node's first result. For dropout it is the keep mask
(1 keep, 0 drop; the node's own p scales; over the weights for a fused attention), for every other random operation the drawn values.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch

from padiff_graph.capture import leaf_names as leaves
from padiff_graph.capture.engine import Array, NotRunnable, Run
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.torch import effects, values
from padiff_graph.capture.torch.aten_call import run_node
from padiff_graph.capture.torch.aten_schema import DTYPES
from padiff_graph.capture.torch.quiet import quiet

__all__ = ["SWITCHES_ITSELF", "TorchEngine", "named_tensors"]

Tensor: TypeAlias = torch.Tensor
SWITCHES_ITSELF = "you can only change requires_grad flags of leaf variables"
"""torch's complaint where a model switches its input's gradient on and the input has one already."""


class TorchEngine:
    """Runs one torch model; see `padiff_graph.capture.engine.Engine`."""

    framework = "torch"

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.device = next(
            (t.device for t in itertools.chain(model.parameters(), model.buffers())),
            torch.device("cpu"),
        )
        self.recorded: effects.Effects | None = None
        self.live: dict[int, Any] = {}

    def quiet(self, *, values: bool = True) -> AbstractContextManager[None]:
        """Everything run inside leaves the model and torch's global state as they were."""
        return quiet(self.model, values=values)

    def tensor(self, array: Array, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """A fresh leaf tensor on the model's device."""
        made = torch.from_numpy(np.array(array, copy=True, order="C")).to(self.device)
        if dtype is not None:
            made = made.to(DTYPES[dtype])
        return made.requires_grad_(requires_grad)

    def array(self, tensor: Tensor) -> Array:
        """The tensor's numbers on the host, a copy where somebody might write to it later."""
        found = values.array(tensor)
        return (
            found.copy()
            if np.may_share_memory(found, found) and tensor.device.type == "cpu"
            else found
        )

    def parameters(self) -> dict[str, Tensor]:
        """The model's parameters and buffers by first dotted name: detached, sharing memory."""
        return {name: tensor.detach() for name, tensor in named_tensors(self.model).items()}

    def assign(self, values: Mapping[str, Array]) -> None:
        """Writes parameters and buffers in place.

        Raises:
            KeyError: an unknown name.
            ValueError: a shape that does not fit. Nothing is written then.
        """
        own = named_tensors(self.model)
        for name, array in values.items():
            if name not in own:
                raise KeyError(f"the model has no parameter or buffer {name}")
            if tuple(own[name].shape) != tuple(np.shape(array)):
                raise ValueError(
                    f"{name} has shape {tuple(own[name].shape)}, the values given {tuple(np.shape(array))}"
                )
            if own[name].is_meta:
                raise ValueError(f"{name} is on the meta device and can hold no values")
        with torch.no_grad():
            for name, array in values.items():
                own[name].copy_(torch.from_numpy(np.array(array, copy=True)))

    def inputs(self, graph: ComputationGraph) -> dict[int, Tensor]:
        """The example's leaves, and constants, by the id of their node."""
        session = self._session(graph)
        return dict(session.tensors)

    def _session(self, graph: ComputationGraph) -> Any:
        if graph.session is None:
            raise NotRunnable(
                "the graph was loaded from a file and has no example; capture it again"
            )
        session: Any = graph.session
        self.recorded = session.recorded
        return session

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """Runs the user's own model eagerly, in the mode that it is in."""
        fresh: dict[str, Tensor] = {}
        given: dict[str, Tensor] = {}
        for name, leaf in leaves.leaves(example, values.is_tensor).items():
            own = leaf.detach().clone()
            if grad and own.is_floating_point():
                fresh[name] = own.requires_grad_()
                own = own.clone()  # a model may write to its input, which a leaf forbids
            given[name] = own
        versions = {name: tensor._version for name, tensor in self.model.named_parameters()}
        with torch.set_grad_enabled(grad):
            try:
                structure = self.model(**leaves.replace(dict(example), values.is_tensor, given))
            except RuntimeError as error:
                if not grad or SWITCHES_ITSELF not in str(error):
                    raise
                fresh = {}
                structure = self.model(
                    **leaves.replace(
                        dict(example),
                        values.is_tensor,
                        {name: own.detach() for name, own in given.items()},
                    )
                )
        outputs = leaves.output_leaves(structure, values.is_tensor)
        moving = named_tensors(self.model, only_buffers=True) | {
            name: p for name, p in self.model.named_parameters() if versions.get(name) != p._version
        }
        buffers = {
            name: self.array(tensor) for name, tensor in moving.items() if not tensor.is_meta
        }
        return Run(outputs, structure, buffers, leaves=fresh)

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """What each call of each module returns in an eager forward, by (path, call)."""
        names = {id(module): name for name, module in self.model.named_modules()}
        found: dict[tuple[str, int], list[Array]] = {}
        counts: dict[str, int] = {}

        def note(module: torch.nn.Module, args: Any, result: Any) -> None:
            name = names.get(id(module))
            if name is not None:
                counts[name] = counts.get(name, -1) + 1
                found[name, counts[name]] = [
                    self.array(leaf)
                    for leaf in leaves.output_leaves(result, values.is_tensor).values()
                ]

        handle = torch.nn.modules.module.register_module_forward_hook(note)
        try:
            self.forward(example, grad=False)
        finally:
            handle.remove()
        return found

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
            names = [name for name in cotangents or {} if run.outputs[name].requires_grad]
            outputs = [run.outputs[name] for name in names]
            seeds = [self._like(cotangents[name], run.outputs[name]) for name in names]  # type: ignore[index]
        wanted = {f"input:{name}": leaf for name, leaf in run.leaves.items()}
        wanted |= {
            f"parameter:{name}": p
            for name, p in named_tensors(self.model).items()
            if p.requires_grad
        }
        found = self._grad(outputs, list(wanted.values()), seeds, again)
        run.gradients = {
            name: values.array(g) for name, g in zip(wanted, found, strict=True) if g is not None
        }  # nobody else has them

    def _like(self, array: Array, tensor: Tensor) -> Tensor:
        return torch.from_numpy(np.array(array, copy=True)).to(
            device=tensor.device, dtype=tensor.dtype
        )

    def run(
        self,
        node: Node,
        operands: Sequence[Tensor | None],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Reruns one captured operation out of place."""
        with torch.no_grad() if "no_grad" in node.marks else nullcontext():
            return run_node(
                node,
                operands,
                self.device,
                double=double,
                draw=draw,
                recorded=self.recorded,
                live=self.live,
            )

    def grad(
        self, outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Gradients of the inputs; outputs without gradient are left out."""
        return self._grad(outputs, inputs, cotangents, again=False)

    def _grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        again: bool,
    ) -> list[Tensor | None]:
        pairs = [
            (output, seed)
            for output, seed in zip(outputs, cotangents, strict=True)
            if output.requires_grad
        ]
        asked = [place for place, tensor in enumerate(inputs) if tensor.requires_grad]
        found: list[Tensor | None] = [None] * len(inputs)
        if pairs and asked and _reenters([output for output, _ in pairs]):
            return self._accumulated(pairs, inputs, again)
        if pairs and asked:
            seeds = [seed.to(output.dtype) for output, seed in pairs]
            gradients = torch.autograd.grad(
                [output for output, _ in pairs],
                [inputs[place] for place in asked],
                seeds,
                retain_graph=again,
                allow_unused=True,
            )
            for place, gradient in zip(asked, gradients, strict=True):
                found[place] = gradient
        return found

    def _accumulated(
        self, pairs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor], again: bool
    ) -> list[Tensor | None]:
        """Gradients through `.grad`, which reentrant checkpointing insists on; `.grad` is put back."""
        kept = [tensor.grad for tensor in (*self.model.parameters(), *inputs)]
        try:
            for tensor in (*self.model.parameters(), *inputs):
                tensor.grad = None
            torch.autograd.backward(
                [output for output, _ in pairs],
                [seed.to(output.dtype) for output, seed in pairs],
                retain_graph=again,
            )
            return [tensor.grad for tensor in inputs]
        finally:
            for tensor, gradient in zip((*self.model.parameters(), *inputs), kept, strict=True):
                tensor.grad = gradient

    @contextmanager
    def recording(self, on: bool) -> Iterator[None]:
        """Switches recording of gradients on or off."""
        with torch.set_grad_enabled(on):
            yield


def _reenters(outputs: Sequence[Tensor]) -> bool:
    """Whether reentrant checkpointing stands in the gradient graph."""
    seen: set[Any] = set()
    todo: list[Any] = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        if type(node).__name__ == "CheckpointFunctionBackward":
            return True
        seen.add(node)
        todo.extend(following for following, _ in node.next_functions if following is not None)
    return False


def named_tensors(model: torch.nn.Module, only_buffers: bool = False) -> dict[str, Tensor]:
    """Parameters and buffers by first dotted name, each tensor once."""
    pairs = (
        model.named_buffers()
        if only_buffers
        else itertools.chain(model.named_parameters(), model.named_buffers())
    )
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, tensor in pairs:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found
