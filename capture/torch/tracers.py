"""The ways to trace: `torch.export`, and `make_fx` along the example at two levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from padiff_graph.capture.torch import internals
from padiff_graph.capture.torch.aliases import Untold
from padiff_graph.capture.torch.captured_nodes import Leaf
from padiff_graph.capture.torch.flat_model import FlatModel
from padiff_graph.capture.torch.fx_notes import (
    ASKED,
    noted_calls,
    noted_detaching,
    noted_sources,
    noted_takings,
)
from padiff_graph.capture.torch.fx_places import ROOT
from padiff_graph.capture.torch.quiet import quiet

__all__ = ["Traced", "along_example", "below_autograd", "by_export", "forget_results"]


@dataclass
class Traced:
    """An fx graph, and what its placeholders and attributes stand for, by their names."""

    module: fx.GraphModule
    leaves: dict[str, Leaf]

    def read_leaves(self) -> list[Leaf]:
        """The leaves that the program reads."""
        read = {
            node.target
            for node in self.module.graph.nodes
            if node.op in ("placeholder", "get_attr") and node.users
        }
        return [leaf for target, leaf in self.leaves.items() if target in read]


def by_export(flat: FlatModel, tensors: Sequence[torch.Tensor]) -> Traced:
    """`torch.export`, non-strict: operators whole, shapes only, no numbers.

    It knows the modules itself; of lines it keeps only those of the forwards.
    """
    with noted_sources():
        exported = torch.export.export(flat, tuple(tensors), strict=False)
    own = flat.own_leaves()
    leaves: dict[str, Leaf] = {}
    inputs = iter(zip(flat.names, tensors, strict=True))
    for spec in exported.graph_signature.input_specs:
        name, target = spec.arg.name, spec.target
        if spec.kind == torch.export.graph_signature.InputKind.USER_INPUT:
            label, tensor = next(inputs)
            leaves[name] = Leaf("input", label, tensor, True)
        elif target in own:
            leaves[name] = own[target]
        elif isinstance(exported.constants.get(target), torch.Tensor):
            label = target.removeprefix(ROOT + ".")
            leaves[name] = Leaf("constant", label, exported.constants[target])
        else:
            raise Untold(f"the trace reads {target}, which is no tensor of the model")
    return Traced(exported.graph_module, leaves)


def along_example(
    flat: FlatModel, tensors: Sequence[torch.Tensor], pre_dispatch: bool = True
) -> Traced:
    """`make_fx` with the example's numbers: Python takes the branches that they decide."""
    if flat.abstract:
        raise Untold("the example has shapes only, and Python depends on numbers")
    with quiet(flat.model), noted_sources(), noted_calls(flat), noted_takings(flat.returned.taken):
        module = internals.traced_along(flat.forward, tensors, pre_dispatch)
    with quiet(flat.model):
        _Filled(module).run(*tensors)
    leaves: dict[str, Leaf] = {}
    placeholders = module.graph.find_nodes(op="placeholder")
    for node, name, tensor in zip(placeholders, flat.names, tensors, strict=True):
        leaves[node.target] = Leaf("input", name, tensor, True)
    own = {id(leaf.tensor): leaf for leaf in flat.own_leaves().values()}
    for node in module.graph.find_nodes(op="get_attr"):
        attribute = getattr(module, node.target, None)
        if id(attribute) in own:
            leaves[node.target] = own[id(attribute)]
    return Traced(module, leaves)


def below_autograd(flat: FlatModel, tensors: Sequence[torch.Tensor]) -> Traced:
    """`make_fx` at the lowest level: transformations such as vmap are gone, operators in parts."""
    with noted_detaching():
        traced = along_example(flat, tensors, pre_dispatch=False)
    _keep_differentiable(traced.module)
    return traced


def _keep_differentiable(module: fx.GraphModule) -> None:
    """Takes out what autograd detached by itself: the numbers it saves for a backward are the
    differentiable ones once that backward is part of the forward."""
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.detach.default):
        if not node.meta[ASKED]:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()


class _Filled(fx.Interpreter):  # type: ignore[misc]
    """Runs a traced graph once more and keeps each result, for its shape and for whose memory it
    looks at; a number that Python took is "decided"."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, (int, float, bool)):
            n.meta["decided"] = result
        else:
            n.meta["val"] = result
        return result


def forget_results(module: fx.GraphModule) -> None:
    """Lets go of every result that the trace holds: native handles would keep them alive."""
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("val", None)
