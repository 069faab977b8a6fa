"""An fx graph of ATen operators made into a `ComputationGraph`.

`getitem` becomes an output number, sub-graphs of `no_grad` are inlined and marked, in-place
operations are made functional (`aliases`), and what depends on constants only is evaluated.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import fx

from padiff_graph.capture.graph import Kind, Node, TensorType, Value
from padiff_graph.capture.torch import effects
from padiff_graph.capture.torch.aliases import WITH_VALUE, Aliases, Slot, Step, Untold
from padiff_graph.capture.torch.aten_schema import (
    DTYPES,
    Binding,
    bind,
    dtype_name,
    functional_form,
    mutated,
    operator_name,
)
from padiff_graph.capture.torch.aten_schema import call as functional_call
from padiff_graph.capture.torch.fx_places import Place, Places

__all__ = ["Conversion", "Leaf", "type_of_tensor"]

SMALL = 1 << 20
"""Constants of at most this many elements are held in the graph."""

Evaluate = Callable[
    [Node, Sequence[np.ndarray[Any, Any] | None], Sequence[TensorType | None]],
    "np.ndarray[Any, Any] | None",
]
"""Computes a node over constants: (node, values, their types) -> value, None where it cannot."""

CHECKS = ("_assert", "sym_constrain", "_guard", "sym_", "_functional_assert")
"""Prefixes of ATen operators that compute nothing."""

DECISIONS = {"aten.item.default", "aten._local_scalar_dense.default", "aten.is_nonzero.default"}
"""Operators that hand a number to Python."""

PASSING = {
    "aten.dropout.default",
    "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
    "aten.feature_alpha_dropout.default",
}
"""Operators that return their very operand where they have nothing to draw, without saying so in their schema."""

STATISTICS = {
    "aten.batch_norm.default": "training",
    "aten.native_batch_norm.default": "training",
    "aten.cudnn_batch_norm.default": "training",
    "aten.miopen_batch_norm.default": "training",
    "aten.instance_norm.default": "use_input_stats",
}
"""Operators that write running_mean and running_var without saying so in their schema,
and the argument that makes them do so."""


@dataclass(frozen=True)
class Leaf:
    """What a placeholder or attribute of the fx graph stands for."""

    kind: Kind
    name: str
    tensor: Any
    trainable: bool = False


@dataclass(frozen=True)
class _Call:
    """A call on its way into the graph: the fx node, the operator called and its functional form, operands bound."""

    node: fx.Node
    target: Any
    functional: Any
    bound: Binding
    outputs: list[TensorType | None]
    place: Place
    marks: frozenset[str]


def type_of_tensor(tensor: Any) -> TensorType:
    """Shape and dtype of a tensor.

    Raises:
        Untold: where the shape is not known before running.
    """
    if any(not isinstance(extent, int) for extent in tensor.shape):
        raise Untold(f"a shape depends on the numbers that are computed: {tuple(tensor.shape)}")
    return TensorType(tuple(tensor.shape), dtype_name(tensor.dtype))


def _floating(kind: TensorType | None) -> bool:
    return kind is not None and kind.dtype.startswith(("float", "bfloat", "complex"))


class Conversion:
    """One conversion; `nodes` grows in program order.

    Args:
        places: reads module paths and source lines.
        recorded: what was registered during the capture.
        evaluate: computes an operation over constants, None where it cannot.
    """

    def __init__(self, places: Places, recorded: effects.Effects, evaluate: Evaluate) -> None:
        self.places = places
        self.recorded = recorded
        self.evaluate = evaluate
        self.nodes: list[Node] = []
        self.aliases = Aliases(self._emit_like, self.type_of, lambda value: value in self.flowing)
        self.flowing: set[Value] = set()
        self.slots: dict[tuple[str, str], Slot] = {}
        self.tensors: dict[int, Any] = {}
        self.recording = True
        self.autocast: tuple[str, str] | None = None
        self.outer: list[tuple[str, str] | None] = []
        self.decisions: dict[str, Any] = {}
        self.hooked: dict[Value, list[int]] = {}
        self.added: set[int] = set()

    # -- leaves

    def leaf(self, leaf: Leaf) -> Slot:
        """The slot of a leaf; its node is made when it is first asked for."""
        key = (leaf.kind, leaf.name)
        if key not in self.slots:
            kind = type_of_tensor(leaf.tensor)
            held = (
                not leaf.tensor.is_floating_point() and kind.size <= SMALL
            ) or kind.size <= SMALL // 10
            constant = None
            if (
                leaf.kind in ("constant", "buffer")
                and held
                and not leaf.tensor.is_meta
                and not isinstance(leaf.tensor, torch._subclasses.FakeTensor)
            ):
                constant = _numpy(leaf.tensor)
            node = Node(
                len(self.nodes), leaf.kind, name=leaf.name, outputs=(kind,), constant=constant
            )
            self.nodes.append(node)
            self.tensors[node.id] = leaf.tensor
            self.slots[key] = Slot(Value(node.id))
            self._own_hooks(leaf, Value(node.id))
            if leaf.trainable and _floating(kind):
                self.flowing.add(Value(node.id))
        return self.slots[key]

    def _own_hooks(self, leaf: Leaf, value: Value) -> None:
        """Gradient hooks that the user has set on a parameter."""
        for hook in (
            (leaf.tensor._backward_hooks or {}).values() if leaf.kind == "parameter" else ()
        ):
            label = getattr(hook, "__qualname__", type(hook).__name__)
            token = self.recorded.add(hook, label)
            node = self._append(
                effects.GRADIENT_HOOK,
                (value,),
                ("x",),
                {"hook": label, "token": token},
                (self.type_of(value),),
                Place(leaf.name.rpartition(".")[0]),
                frozenset({"gradient_hook"}),
            )
            self.hooked.setdefault(value, []).append(node.id)

    def output(self, name: str, slot: Any) -> None:
        """Appends an output node."""
        if not isinstance(slot, Slot):
            raise Untold(f"the output {name} is {slot!r} in the trace and not a tensor")
        value = self.aliases.read(slot)
        self.nodes.append(
            Node(
                len(self.nodes),
                "output",
                name=name,
                inputs=(value,),
                roles=("value",),
                outputs=(self.type_of(value),),
            )
        )

    def type_of(self, value: Value) -> TensorType:
        """Type of a value.

        Raises:
            Untold: where it is no tensor.
        """
        node = self.nodes[value.node]
        found = node.outputs[value.output]
        if found is None:
            raise Untold(f"output {value.output} of {node.op} is no tensor", node.source)
        return found

    def updates(self) -> dict[str, Value]:
        """The values of parameters and buffers that the program has written, by name."""
        found = {
            name: self.aliases.read(slot)
            for (kind, name), slot in self.slots.items()
            if kind in ("parameter", "buffer")
        }
        return {
            name: value
            for name, value in found.items()
            if self.nodes[value.node].name != name or self.nodes[value.node].kind == "operation"
        }

    def finish(
        self, updates: Mapping[str, Value]
    ) -> tuple[list[Node], dict[str, Value], dict[int, Any]]:
        """Puts every gradient hook behind what it hooks, drops what writes added and nobody reads, and numbers the nodes anew.

        Returns:
            nodes, updates and leaf tensors under the new numbers.
        """
        # The hook registered first sees the gradient first: value, last hook, ..., first hook, readers.
        chains = {
            value: [Value(hook) for hook in reversed(hooks)] for value, hooks in self.hooked.items()
        }
        behind: dict[int, list[int]] = {}
        feeds: dict[int, Value] = {}
        for value, chain in chains.items():
            behind.setdefault(value.node, []).extend(hook.node for hook in chain)
            feeds.update(
                {hook.node: source for hook, source in zip(chain, [value, *chain], strict=False)}
            )
        read = {value.node for value in (*updates.values(), *chains)}
        for node in reversed(self.nodes):
            if node.id in read or node.id not in self.added:
                read |= {node.id, *(value.node for value in node.inputs if value is not None)}
        order: list[int] = []
        for number in range(len(self.nodes)):
            if number not in feeds and number in read:
                order += [number, *behind.get(number, ())]
        number_of = {old: new for new, old in enumerate(order)}

        def renamed(value: Value, reading: int) -> Value:
            value = feeds.get(reading) or (chains[value][-1] if value in chains else value)
            return Value(number_of[value.node], value.output)

        nodes = []
        for old in order:
            node = self.nodes[old]
            inputs = tuple(None if value is None else renamed(value, old) for value in node.inputs)
            nodes.append(replace(node, id=number_of[old], inputs=inputs))
        return (
            nodes,
            {name: renamed(value, -1) for name, value in updates.items()},
            {number_of[old]: tensor for old, tensor in self.tensors.items()},
        )

    # -- operations

    def run(
        self, module: fx.GraphModule, leaves: Mapping[str, Leaf], bound: Sequence[Any] = ()
    ) -> Any:
        """Converts a graph and returns what it returns, in slots.

        Args:
            module: the traced graph.
            leaves: what its placeholders and attributes stand for, by placeholder name or attribute.
            bound: slots for its placeholders, in order, where it is a sub-graph.
        """
        found: dict[fx.Node, Any] = {}
        given = iter(bound)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                found[node] = (
                    next(given)
                    if bound
                    else self.leaf(leaves[node.target])
                    if node.target in leaves and node.users
                    else None
                )
            elif node.op == "get_attr":
                thing = _attribute(module, node.target)
                found[node] = self.leaf(leaves[node.target]) if node.target in leaves else thing
                if isinstance(thing, torch.Tensor) and node.target not in leaves:
                    found[node] = self.leaf(Leaf("constant", node.target, thing))
            elif node.op == "call_function":
                found[node] = self._call(node, found, leaves)
            elif node.op == "output":
                return fx.node.map_arg(node.args[0], lambda n: found[n])
            else:
                raise Untold(f"{node.op} {node.target} is no ATen operator")
        return None

    def _call(self, node: fx.Node, found: dict[fx.Node, Any], leaves: Mapping[str, Leaf]) -> Any:
        args, kwargs = _mapped(node.args, found), _mapped(node.kwargs, found)
        target = node.target
        if target is operator.getitem:
            return args[0][args[1]]
        if isinstance(target, torch._ops.HigherOrderOperator):
            return self._region(node, target, args, kwargs, leaves)
        if target is torch._C._set_grad_enabled:
            self.recording = bool(args[0])
            return None
        if target in (
            torch.amp.autocast_mode._enter_autocast,
            torch.amp.autocast_mode._exit_autocast,
        ):
            return self._autocast(target is torch.amp.autocast_mode._enter_autocast, args)
        if not isinstance(target, torch._ops.OpOverload):
            raise Untold(
                f"a Python value depends on the numbers that are computed ({target})",
                self.places.place(node.meta).source,
            )
        name = operator_name(target)
        if name.startswith("aten.") and name[5:].startswith(CHECKS):
            return None
        if name in DECISIONS:
            value = node.meta.get("decided")
            if value is None:
                raise Untold(
                    "a Python value is taken from a tensor", self.places.place(node.meta).source
                )
            self.decisions[self.places.place(node.meta).source] = value
            return value
        if name == effects.GRADIENT_HOOK:
            return self._hook(node, args)
        if (
            name == "aten.clone.default"
            and isinstance(args[0], Slot)
            and self.nodes[args[0].value.node].kind == "input"
            and not self.places.inside(node.meta)
        ):
            return args[0]  # the wrapper's own, so that a model may write to its inputs
        if name.startswith(("aten.lift_fresh", "aten.requires_grad_")):
            return args[0]
        return self._operation(node, target, args, kwargs)

    def _autocast(self, enter: bool, args: Any) -> None:
        if not enter:
            self.autocast = self.outer.pop()
            return
        self.outer.append(self.autocast)
        device, dtype, enabled, *_ = args
        self.autocast = (
            (device, dtype_name(dtype or torch.get_autocast_dtype(device))) if enabled else None
        )

    def _region(
        self, node: fx.Node, target: Any, args: Any, kwargs: Any, leaves: Mapping[str, Leaf]
    ) -> Any:
        """A sub-graph, inlined."""
        name = target.name() if callable(getattr(target, "name", None)) else str(target)
        before = self.recording, self.autocast
        if "wrap_with_set_grad_enabled" in name:
            enabled, module, *inner = args
            self.recording = bool(enabled)
        elif "wrap_with_autocast" in name:
            device, dtype, enabled, _, module, *inner = args
            self.autocast = (
                (device, dtype_name(dtype or torch.get_autocast_dtype(device))) if enabled else None
            )
        elif "tag_activation_checkpoint" in name or "wrap" in name:
            module, *inner = args
        else:
            raise Untold(
                f"{name} has branches or loops inside", self.places.place(node.meta).source
            )
        try:
            return self.run(module, leaves, inner or (None,))
        finally:
            self.recording, self.autocast = before

    def _hook(self, node: fx.Node, args: Any) -> None:
        """A gradient hook: every reader of the tensor, earlier ones too, reads what stands behind the hook."""
        slot, token = args
        if self.recorded.entries[token] is None:
            return
        value = self.aliases.read(slot)
        hook = self._append(
            effects.GRADIENT_HOOK,
            (value,),
            ("x",),
            {"hook": self.recorded.labels[token], "token": token},
            (self.type_of(value),),
            self.places.place(node.meta),
            frozenset({"gradient_hook"}),
        )
        self.hooked.setdefault(value, []).append(hook.id)

    def _operation(self, node: fx.Node, target: Any, args: Any, kwargs: Any) -> Any:
        place = self.places.place(node.meta)
        if operator_name(target) == "aten.copy_.default" and isinstance(args[1], Slot):
            copied = Node(
                -1,
                "operation",
                "aten.copy_.default",
                path=place.path,
                call=place.call,
                source=place.source,
            )
            self._write(args[0], self.aliases.read(args[1]), copied)
            return args[0]
        functional = functional_form(target)
        named = {
            ours.name: theirs.name
            for ours, theirs in zip(
                target._schema.arguments, functional._schema.arguments, strict=False
            )
        }
        written = [named[name] for name in mutated(target)]
        defaults = {
            named[a.name]: a.default_value
            for a in target._schema.arguments[len(args) :]
            if a.has_default_value() and a.name in named
        }
        bound = bind(functional, args, {**defaults, **kwargs}, lambda v: isinstance(v, Slot))
        for name, value in bound.attrs.items():
            if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool, fx.Node)):
                raise Untold(
                    f"{name} of {target} depends on the numbers that are computed", place.source
                )
        marks = self._marks(functional, bound.attrs) | ({"inplace"} if written else set())
        if operator_name(functional) in effects.EFFECTS:
            bound.attrs["function"] = self.recorded.labels[bound.attrs["token"]]
        if self.autocast is not None:
            bound.attrs["autocast"] = self.autocast
        results, shape = _flat(node.meta.get("val"))
        try:
            outputs: list[TensorType | None] = [
                type_of_tensor(result) if isinstance(result, torch.Tensor) else None
                for result in results
            ]
        except Untold as error:
            raise Untold(f"{error} by {target}", place.source) from None
        call = _Call(node, target, functional, bound, outputs, place, frozenset(marks))
        if written:
            return self._in_place(call, written, shape)
        statistic = STATISTICS.get(operator_name(functional))
        moving = (
            [
                slot
                for slot, role in zip(bound.operands, bound.roles, strict=True)
                if role in ("running_mean", "running_var") and slot is not None
            ]
            if statistic and bound.attrs.get(statistic)
            else []
        )
        record, made = self._recorded(
            replace(call, outputs=[*outputs, *(self.type_of(slot.value) for slot in moving)])
        )
        for slot, value in zip(moving, made[len(results) :], strict=True):
            self._write(slot, value, record)
        memory = self._operand_memory(functional, node)
        return shape(
            [
                None
                if value is None
                else self._result(value, result, bound.operands, memory, record)
                for value, result in zip(made, results, strict=False)
            ]
        )

    def _recorded(self, call: _Call) -> tuple[Node, list[Value | None]]:
        """Appends a call; its node and its values."""
        inputs = tuple(
            None if slot is None else self.aliases.read(slot) for slot in call.bound.operands
        )
        record = self._append(
            operator_name(call.functional),
            inputs,
            tuple(call.bound.roles),
            call.bound.attrs,
            tuple(call.outputs),
            call.place,
            call.marks,
            call.node,
        )
        return record, [
            Value(record.id, number) if kind is not None else None
            for number, kind in enumerate(call.outputs)
        ]

    def _in_place(
        self, call: _Call, written: Sequence[str], shape: Callable[[list[Any]], Any]
    ) -> Any:
        """An operation that writes to operands: later readers read the result."""
        bound = call.bound
        targets = [
            slot
            for slot, role in zip(bound.operands, bound.roles, strict=True)
            if slot is not None and role.partition("[")[0] in written
        ]
        if any(tag.name == "inplace_view" for tag in call.target.tags):
            record, made = self._recorded(call)
            return self._moved(targets[0], record, made[0])
        kinds = [self.type_of(slot.value) for slot in targets]
        if call.functional is not call.target:
            promoted = self._promoted(call, kinds)
            record, made = self._recorded(replace(call, outputs=promoted))
            for slot, value in zip(targets, made, strict=True):
                self._write(slot, value, record)
            return shape(list(targets[: len(call.outputs)]))
        # no functional form: it returns its results and then the new values of what it writes
        record, made = self._recorded(replace(call, outputs=[*call.outputs, *kinds]))
        for slot, value in zip(targets, made[len(call.outputs) :], strict=True):
            self._write(slot, value, record)
        if len(call.outputs) == len(targets):
            return shape(list(targets))
        return shape(
            [None if value is None else Slot(value) for value in made[: len(call.outputs)]]
        )

    def _promoted(self, call: _Call, kinds: Sequence[TensorType]) -> list[TensorType | None]:
        """Types of the functional form's results: out of place, a wider operand may widen them."""
        operands = [
            None if slot is None else self.type_of(slot.value) for slot in call.bound.operands
        ]
        if len({kind.dtype for kind in operands if kind is not None}) < 2:
            return list(kinds)
        attrs = {name: value for name, value in call.bound.attrs.items() if name != "autocast"}
        meta = [
            None
            if kind is None
            else torch.empty(kind.shape, dtype=DTYPES[kind.dtype], device="meta")
            for kind in operands
        ]
        found, _ = _flat(
            functional_call(call.functional, meta, call.bound.roles, attrs, torch.device("meta"))
        )
        return [type_of_tensor(result) for result in found]

    def _operand_memory(self, target: Any, node: fx.Node) -> list[int | None]:
        """The memory that each operand looks at, in the order of the node's inputs."""
        operands = bind(target, node.args, node.kwargs, lambda v: isinstance(v, fx.Node)).operands
        return [
            _memory(operand.meta.get("val")) if isinstance(operand, fx.Node) else None
            for operand in operands
        ]

    def _write(self, slot: Slot, value: Value | None, record: Node) -> None:
        if value is None:
            raise Untold(f"{record.op} writes something that is no tensor", record.source)
        kind, new = self.type_of(slot.value), self.type_of(value)
        if kind != new:
            value = self._emit_like(
                "aten.expand.default" if kind.dtype == new.dtype else "aten.to.dtype",
                (value,),
                ("self",),
                {"size": kind.shape, "implicit": False}
                if kind.dtype == new.dtype
                else {
                    "dtype": kind.dtype,
                    "non_blocking": False,
                    "copy": False,
                    "memory_format": None,
                },
                (TensorType(new.shape, kind.dtype) if kind.dtype != new.dtype else kind,),
                like=record,
                marks=frozenset({"inplace"}),
            )
            if self.type_of(value) != kind:
                value = self._emit_like(
                    "aten.expand.default",
                    (value,),
                    ("self",),
                    {"size": kind.shape, "implicit": False},
                    (kind,),
                    like=record,
                    marks=frozenset({"inplace"}),
                )
        self.aliases.write(slot, value, record, self.recording)

    def _moved(self, slot: Slot, record: Node, value: Value | None) -> Slot:
        """An in-place change of shape: the tensor itself is from now on a view of what it was."""
        if value is None:
            raise Untold(f"{record.op} gives no tensor", record.source)
        before = Slot(slot.value, slot.storage, slot.version, slot.parent, slot.step)
        slot.value, slot.version, slot.parent, slot.step = (
            value,
            slot.storage.version,
            before,
            Step(record, 0, 0),
        )
        return slot

    def _result(
        self,
        value: Value,
        result: Any,
        slots: Sequence[Any],
        memory: Sequence[int | None],
        record: Node,
    ) -> Slot:
        """The slot of a result: a view where it looks at the memory of an operand."""
        own = (
            memory[0]
            if record.op in PASSING and not random(record.op, record.attrs)
            else _memory(result)
        )
        for position, theirs in enumerate(memory):
            if theirs is not None and theirs == own:
                parent: Slot = slots[position]
                return parent.view(value, Step(record, position, value.output))
        return Slot(value)

    def _marks(self, target: Any, attrs: Mapping[str, Any]) -> set[str]:
        marks = set() if self.recording else {"no_grad"}
        name = operator_name(target)
        if name in effects.EFFECTS:
            marks.add("custom_function" if name == effects.CUSTOM_FUNCTION else "gradient_hook")
        if torch.Tag.nondeterministic_seeded in target.tags and random(name, attrs):
            marks.add("random")
            if name.split(".")[1] not in SHAREABLE:
                marks.add("unshareable_random")
        return marks

    def _emit_like(
        self,
        op: str,
        inputs: Sequence[Value | None],
        roles: Sequence[str],
        attrs: Mapping[str, Any],
        outputs: Iterable[TensorType | None],
        *,
        like: Node,
        marks: frozenset[str],
    ) -> Value:
        marks = marks if self.recording or op == WITH_VALUE else marks | {"no_grad"}
        node = self._append(
            op,
            tuple(inputs),
            tuple(roles),
            attrs,
            tuple(outputs),
            Place(like.path, like.call, like.source),
            marks,
        )
        self.added.add(node.id)
        return Value(node.id)

    def _append(
        self,
        op: str,
        inputs: tuple[Value | None, ...],
        roles: tuple[str, ...],
        attrs: Mapping[str, Any],
        outputs: tuple[TensorType | None, ...],
        place: Place,
        marks: frozenset[str],
        native: Any = None,
    ) -> Node:
        node = Node(
            len(self.nodes),
            "operation",
            op,
            inputs=inputs,
            roles=roles,
            attrs=dict(attrs),
            outputs=outputs,
            path=place.path,
            call=place.call,
            source=place.source,
            marks=marks,
            native=native,
        )
        constants = [
            None
            if value is None
            else self.nodes[value.node].constant
            if self.nodes[value.node].kind in ("constant", "operation")
            else None
            for value in inputs
        ]
        only = all(
            value is None or held is not None for value, held in zip(inputs, constants, strict=True)
        )
        if (
            only
            and "random" not in marks
            and op not in effects.EFFECTS
            and len(outputs) == 1
            and outputs[0] is not None
            and outputs[0].size <= SMALL
        ):
            constant = self.evaluate(
                node,
                constants,
                [None if value is None else self.type_of(value) for value in inputs],
            )
            if constant is not None:
                node = replace(node, constant=constant)
        self.nodes.append(node)
        if (
            "no_grad" not in marks
            and not op.startswith("aten.detach")
            and any(value in self.flowing for value in inputs if value is not None)
        ):
            self.flowing.update(
                Value(node.id, number) for number, kind in enumerate(outputs) if _floating(kind)
            )
        return node


SHAREABLE = {
    "dropout",
    "scaled_dot_product_attention",
    "feature_dropout",
    "bernoulli",
    "bernoulli_",
    "rand",
    "rand_like",
    "randn",
    "randn_like",
    "uniform",
    "uniform_",
    "normal",
    "normal_",
    "randint",
    "randint_like",
    "randperm",
    "native_dropout",
    "exponential",
    "exponential_",
    "normal_functional",
}
"""Random operators whose draw can be handed in."""


def random(op: str, attrs: Mapping[str, Any]) -> bool:
    """Whether a call of a random operator really draws."""
    name = op.split(".")[1]
    if "dropout_p" in attrs:
        return bool(attrs["dropout_p"])
    if "dropout" in attrs:  # recurrent networks
        return (
            bool(attrs["dropout"]) and bool(attrs.get("train")) and attrs.get("num_layers", 2) > 1
        )
    if "train" in attrs:
        return bool(attrs["train"]) and bool(attrs.get("p", 1.0))
    if "training" in attrs and name.startswith("rrelu"):
        return bool(attrs["training"])
    return True


def _memory(tensor: Any) -> int | None:
    """What tells the memory of a traced tensor from others; None where it has none of its own."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        return None
    found: int = tensor.untyped_storage()._cdata
    return found


def _numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    host = tensor.detach().cpu()
    host = host.float() if host.dtype == torch.bfloat16 else host
    found: np.ndarray[Any, Any] = host.numpy().copy()
    return found


def _attribute(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part)
    return module


def _mapped(arguments: Any, found: Mapping[fx.Node, Any]) -> Any:
    """fx arguments with every node replaced by what it stands for."""
    if isinstance(arguments, fx.Node):
        return found[arguments]
    if isinstance(arguments, (list, tuple)):
        return tuple(_mapped(member, found) for member in arguments)
    if isinstance(arguments, dict):
        return {key: _mapped(member, found) for key, member in arguments.items()}
    return arguments


def _flat(val: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The results of a call in a row, and how to nest what stands for them in the same way."""
    if val is None:
        return [], lambda made: None
    if not isinstance(val, (list, tuple)):
        return [val], lambda made: made[0]
    parts = [_flat(member) for member in val]
    flat = [leaf for leaves, _ in parts for leaf in leaves]

    def nest(made: list[Any]) -> Any:
        rest = list(made)
        nested = []
        for leaves, shape in parts:
            nested.append(shape(rest[: len(leaves)]))
            rest = rest[len(leaves) :]
        return tuple(nested)

    return flat, nest
