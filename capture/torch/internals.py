"""Everything that depends on torch's internals: private names, messages, what tracers emit.

Seen in torch 2.6 and in 2.13, unless an entry says otherwise. Where a version moves, it is this
module that has to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.checkpoint
from torch import fx
from torch._guards import detect_fake_mode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.hooks import BackwardHook

__all__ = [
    "APPLY_IN_PYTHON",
    "AUTOCAST_ENTER",
    "AUTOCAST_EXIT",
    "BACKWARD_HOOK_HOME",
    "DATA",
    "FUNCTION_APPLY",
    "FUNCTION_BASE",
    "REENTRANT_CHECKPOINT",
    "SET_GRAD_ENABLED",
    "SWITCHES_ITSELF",
    "BackwardHook",
    "arguments_of",
    "fakes_tensors",
    "has_numbers",
    "hooks_of",
    "is_operator",
    "is_region",
    "made_nodes",
    "memory_of",
    "reenters",
    "region_kind",
    "region_name",
    "returns_of",
    "sets_up_context",
    "traced_along",
    "tree_flatten",
    "tree_unflatten",
    "version_of",
]

SET_GRAD_ENABLED = torch._C._set_grad_enabled
"""What `torch.set_grad_enabled` is in a trace by make_fx."""

AUTOCAST_ENTER = torch.amp.autocast_mode._enter_autocast
"""What entering `torch.autocast` is in a trace by make_fx: (device, dtype, enabled, cache)."""

AUTOCAST_EXIT = torch.amp.autocast_mode._exit_autocast
"""What leaving it is."""

DATA = torch._C.TensorBase.data
"""The descriptor behind `tensor.data`."""

FUNCTION_BASE = torch.autograd.function._SingleLevelFunction
"""The class whose `apply` ends every `autograd.Function.apply`."""

FUNCTION_APPLY = torch.autograd.Function.__dict__["apply"]
"""torch's own `autograd.Function.apply`, a descriptor: of Python up to torch 2.13, of C after."""

APPLY_IN_PYTHON = isinstance(FUNCTION_APPLY, classmethod)
"""Whether a name that was bound to some function's `apply` comes through `FUNCTION_BASE.apply`."""

REENTRANT_CHECKPOINT = torch.utils.checkpoint.CheckpointFunction
"""`checkpoint(use_reentrant=True)`: the function is the first argument, a setting the second."""

BACKWARD_HOOK_HOME = torch.nn.modules.module
"""Where `Module.__call__` looks up `BackwardHook`, as a global."""

SWITCHES_ITSELF = "you can only change requires_grad flags of leaf variables"
"""torch's complaint where a model switches its input's gradient on and the input has one."""


def fakes_tensors() -> bool:
    """Whether a mode is on around the caller in which tensors hold no numbers."""
    return detect_fake_mode() is not None


def sets_up_context(function: type[torch.autograd.Function]) -> bool:
    """Whether its `forward` gets no context, which `setup_context` is given behind it."""
    return function.setup_context is not FUNCTION_BASE.setup_context


def is_operator(target: Any) -> bool:
    """Whether a call's target is an operator with a schema."""
    return isinstance(target, torch._ops.OpOverload)


def is_region(target: Any) -> bool:
    """Whether a call's target takes a sub-graph."""
    return isinstance(target, torch._ops.HigherOrderOperator)


def region_kind(target: Any) -> str:
    """How a region runs its sub-graph: "grad", "autocast" or "plain"; "" where it branches.

    For "grad" its arguments are (enabled, graph, *operands), for "autocast" (device, dtype,
    enabled, cache, graph, *operands), for "plain" (graph, *operands).
    """
    name = region_name(target)
    if "wrap_with_set_grad_enabled" in name:
        return "grad"
    if "wrap_with_autocast" in name:
        return "autocast"
    if "tag_activation_checkpoint" in name or "wrap" in name:
        return "plain"
    return ""


def region_name(target: Any) -> str:
    """The name of an operator that takes a sub-graph; a method or an attribute, by version."""
    if callable(getattr(target, "name", None)):
        return str(target.name())
    return str(target)


def arguments_of(overload: Any) -> Sequence[Any]:
    """The arguments of an operator's schema: name, type, default_value, kwarg_only, alias_info."""
    arguments: Sequence[Any] = overload._schema.arguments
    return arguments


def returns_of(overload: Any) -> Sequence[Any]:
    """The results of an operator's schema."""
    returns: Sequence[Any] = overload._schema.returns
    return returns


def has_numbers(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds numbers: neither on the meta device nor a tracer's stand-in."""
    return not tensor.is_meta and not isinstance(tensor, torch._subclasses.FakeTensor)


def memory_of(tensor: Any) -> int | None:
    """What tells the memory of a traced tensor from others; None where it has none of its own."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        return None
    return int(tensor.untyped_storage()._cdata)


def version_of(tensor: torch.Tensor) -> int:
    """Counts the writes to a tensor."""
    return int(tensor._version)


def hooks_of(tensor: torch.Tensor) -> dict[int, Any]:
    """The gradient hooks set on a tensor by `register_hook`, in order."""
    hooks: dict[int, Any] | None = tensor._backward_hooks
    return {} if hooks is None else hooks


def reenters(outputs: Sequence[torch.Tensor]) -> bool:
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


def traced_along(
    forward: Callable[..., Any], tensors: Sequence[torch.Tensor], pre_dispatch: bool
) -> fx.GraphModule:
    """`make_fx` with real numbers, before autograd takes operators apart or below that."""
    return make_fx(
        forward,
        pre_dispatch=pre_dispatch,
        tracing_mode="real",
        _allow_non_fake_inputs=True,
        _error_on_data_dependent_ops=False,
    )(*tensors)


@contextmanager
def made_nodes(note: Callable[[fx.Node], None]) -> Iterator[None]:
    """Calls `note` with every fx node that any tracer makes inside; torch.export's tracers too."""
    original = fx.Graph.create_node

    def create_node(self: fx.Graph, *args: Any, **kwargs: Any) -> fx.Node:
        node = original(self, *args, **kwargs)
        note(node)
        return node

    fx.Graph.create_node = create_node
    try:
        yield
    finally:
        fx.Graph.create_node = original
