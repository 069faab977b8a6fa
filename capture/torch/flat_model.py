"""The user's model inside a wrapper that takes and returns tensors in a row, for tracers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from padiff_graph.capture import leaf_names
from padiff_graph.capture.torch import values
from padiff_graph.capture.torch.captured_nodes import Leaf
from padiff_graph.capture.torch.fx_places import ROOT

__all__ = ["FlatModel", "Returned"]


@dataclass(eq=False)
class Returned:
    """What a traced forward left behind; an object of its own, because tracers put back a module's
    attributes.

    Attributes:
        outputs: leaf names of what the model returned.
        replaced: buffers to which it assigned a new tensor.
        taken: source lines that handed a tensor's numbers to Python.
    """

    outputs: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


class FlatModel(torch.nn.Module):  # type: ignore[misc]
    """The user's model with tensors in a row as inputs and outputs.

    Attributes:
        abstract: whether the example or the model has shapes only.
        names: leaf names of the inputs.
        returned: what the last forward left behind.
    """

    def __init__(self, model: torch.nn.Module, example: Mapping[str, Any], abstract: bool) -> None:
        super().__init__()
        self.abstract = abstract
        self.model = model
        self.example = dict(example)
        self.names = list(leaf_names.leaves(self.example, values.is_tensor))
        self.returned = Returned()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs, and behind them buffers that the model has replaced.

        Inputs are cloned, so that a model may write to them; `fx_places` knows this frame.
        """
        inputs = {name: tensor.clone() for name, tensor in zip(self.names, tensors, strict=True)}
        before = {name: id(buffer) for name, buffer in self.model.named_buffers()}
        given = leaf_names.replace(self.example, values.is_tensor, inputs)
        structure = leaf_names.settled(self.model(**given))
        outputs = leaf_names.output_leaves(structure, values.is_tensor)
        replaced = {
            name: buffer
            for name, buffer in self.model.named_buffers()
            if before.get(name, id(buffer)) != id(buffer)
        }
        self.returned.outputs, self.returned.replaced = list(outputs), list(replaced)
        return (*outputs.values(), *replaced.values())

    def own_leaves(self) -> dict[str, Leaf]:
        """Every parameter and buffer of the model, under every name that this wrapper gives it."""
        leaves: dict[str, Leaf] = {}
        first_names: dict[int, str] = {}

        def add(kind: Any, name: str, tensor: torch.Tensor) -> None:
            own = first_names.setdefault(id(tensor), name.removeprefix(ROOT + "."))
            leaves[name] = Leaf(kind, own, tensor, tensor.requires_grad)

        for name, tensor in self.named_parameters(remove_duplicate=False):
            add("parameter", name, tensor)
        for name, tensor in self.named_buffers(remove_duplicate=False):
            add("buffer", name, tensor)
        return leaves
