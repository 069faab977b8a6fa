"""A torch model in float64 that stands for the same model in bfloat16 or float16."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from padiff_graph.capture import leaf_names
from padiff_graph.capture.autocast import Autocast, is_mixed, low_name
from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.python_state import deep_copy
from padiff_graph.capture.torch import values
from padiff_graph.capture.torch.aten_schema import DTYPES
from padiff_graph.capture.torch.autocast import LISTS, cast, watched
from padiff_graph.capture.with_loss import returning_loss

__all__ = ["asking", "copied", "example", "explicit_casts", "given"]

LOW = (torch.bfloat16, torch.float16)
CASTS = frozenset(
    f"aten.{name}"
    for name in (
        "to.dtype",
        "to.dtype_layout",
        "to.device",
        "to.other",
        "_to_copy.default",
        "type_as.default",
        "bfloat16.default",
        "half.default",
        "float.default",
    )
)
"""Operations whose result has the dtype that the code asks for, whatever it had before."""


def given(model: torch.nn.Module) -> str:
    """The half precision that a model's weights are given in; "" where they are in none, or in
    both."""
    held = {name for name, low in DTYPES.items() if low in LOW and _holds(model, low)}
    return held.pop() if len(held) == 1 else ""


def _holds(model: torch.nn.Module, low: torch.dtype) -> bool:
    return any(parameter.dtype is low for parameter in model.parameters())


def copied(
    model: torch.nn.Module, precision: str, loss: Callable[[Any], Any] | None = None
) -> torch.nn.Module:
    """A copy in float64: of all floats, or of the low ones alone where the model has some or
    autocast lowers the others. With a loss it returns that too.

    Raises:
        CaptureError: a parameter has no shape yet, or the model cannot be copied.
    """
    for name, parameter in model.named_parameters():
        if torch.nn.parameter.is_lazy(parameter):
            raise CaptureError(f"parameter {name} has no shape yet; run the model once first")
    made = deep_copy(model)
    tensors = [*made.parameters(), *made.buffers()]
    some = is_mixed(precision) or any(tensor.dtype in LOW for tensor in tensors)

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        low = tensor.dtype in LOW if some else tensor.is_floating_point()
        return tensor.double() if low else tensor

    made._apply(moved)
    if loss is not None:
        returning_loss(made, loss)
    _answered(made, precision)
    return made


def example(given: Mapping[str, Any], low_alone: bool) -> dict[str, Any]:
    """The example with its floats in float64, or the low ones alone."""
    found = leaf_names.leaves(given, values.is_tensor)
    moved = {
        name: leaf.detach().double()
        if leaf.is_floating_point() and (leaf.dtype in LOW or not low_alone)
        else leaf
        for name, leaf in found.items()
    }
    answer: dict[str, Any] = leaf_names.replace(dict(given), values.is_tensor, moved)
    return answer


@contextmanager
def asking(precision: str) -> Iterator[set[int]]:
    """Code that asks for the dtype is answered by `copied` itself; nothing is left to do here."""
    yield set()


class _Answering(TorchFunctionMode):  # type: ignore[misc]  # untyped in torch
    """To the code inside float64 is the low precision: asked for a dtype, and given one.

    It must stand round the model's own forward alone: a tracer's own questions need the truth.
    """

    def __init__(self, low: torch.dtype, state: Autocast) -> None:
        super().__init__()
        self.low = low
        self.state = state

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [torch.float64 if member is self.low else member for member in args]
        named = {
            name: torch.float64 if member is self.low else member
            for name, member in (kwargs or {}).items()
        }
        given, named = cast(self.state, func, given, named)
        if func in self._lowering:
            return given[0].to(torch.float64)
        if func == torch._grouped_mm and _spelled(given, named):
            return _grouped(given[0], given[1], named["offs"])
        answer = func(*given, **named)
        return self.low if answer is torch.float64 else answer

    @property
    def _lowering(self) -> tuple[Any, ...]:
        """The method that names the low precision."""
        methods = {torch.bfloat16: torch.Tensor.bfloat16, torch.float16: torch.Tensor.half}
        return (methods[self.low],)


def _spelled(given: list[Any], named: Mapping[str, Any]) -> bool:
    """Whether a grouped product is of rows by groups, in float64, for which torch has no kernel."""
    plain = named.get("bias") is None and named.get("out_dtype") is None
    ranks = [getattr(operand, "ndim", 0) for operand in given]
    return plain and ranks == [2, 3] and given[0].dtype is torch.float64


def _grouped(rows: torch.Tensor, weights: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Each group's rows times its own weight: rows of other groups count as zero in its product."""
    places = torch.arange(rows.shape[0], device=rows.device)
    total = rows.new_zeros(rows.shape[0], weights.shape[-1])
    for group in range(weights.shape[0]):
        here = places < ends[group]
        if group:
            here = here & (places >= ends[group - 1])
        total = total + rows.masked_fill(~here.unsqueeze(-1), 0.0) @ weights[group]
    return total


def _answered(model: torch.nn.Module, precision: str) -> None:
    """Lets a model of ours ask as one of the low precision, and run under autocast."""
    forward, name = model.forward, low_name(precision)

    @functools.wraps(forward)
    def answered(*args: Any, **kwargs: Any) -> Any:
        state = Autocast(name, LISTS, [is_mixed(precision)])
        eagerly = torch.compiler.set_stance("force_eager")  # a compiler would trace the modes too
        with eagerly, watched(state), _Answering(DTYPES[name], state):
            return forward(*args, **kwargs)

    model.forward = answered


def explicit_casts(graph: ComputationGraph, noted: set[int]) -> frozenset[int]:
    """Nodes that are casts asked for by the code; a trace of torch's holds no others."""
    return frozenset(node.id for node in graph.of_kind("operation") if node.op in CASTS)
