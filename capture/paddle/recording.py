"""Running a layer's forward once to write down a PIR program, faithfully to what eager mode would do.

While it runs, Paddle is patched (and put back): layers note which operations are theirs, in-place calls
rebind what later readers see, gradient hooks and custom functions leave notes, and questions that
static mode cannot answer (`if x.sum() > 0`, `int(n)`, `x.numpy()`) are answered by running the
program so far on the example.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.pir_call import Operation
from padiff_graph.capture.paddle.user_lines import user_line

__all__ = ["Custom", "Leaf", "Recording", "Span"]

Value = paddle.pir.Value


FRESH = frozenset({"pd_op.assign_value_", "pd_op.share_data_"})
"""Operations called in place that overwrite nothing anybody else can see."""


@dataclass
class Span:
    """One call of a layer: the operations after `first` up to and including `last` (operation ids)."""

    path: str
    call: int
    first: int | None
    layer: Any
    last: int | None = None


@dataclass
class Leaf:
    """A tensor that the program reads: an input, a parameter, a buffer, or one that the code holds."""

    value: Any
    tensor: Any
    kind: str
    name: str


@dataclass
class Custom:
    """A custom differentiable function, kept whole: the operations of its forward are its body."""

    function: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    results: list[Any]
    first: int | None
    last: int | None
    source: str
    path: str = ""
    call: int = 0


class _Abort(CaptureError):
    """A question that the example cannot answer."""


@dataclass
class Recording:
    """One attempt at writing down a program.

    Attributes:
        names: (kind, dotted name) of the model's own tensors by id.
        paths: dotted path of each sublayer by id.
        concrete: whether tensors hold numbers, so that questions can be answered.
        answers: whether questions are answered at all; otherwise they fail as Paddle fails them.
    """

    names: Mapping[int, tuple[str, str]]
    paths: Mapping[int, str]
    concrete: bool
    answers: bool
    program: Any = field(default_factory=paddle.static.Program)
    startup: Any = field(default_factory=paddle.static.Program)
    leaves: dict[int, Leaf] = field(default_factory=dict)
    by_value: dict[int, Leaf] = field(default_factory=dict)
    standing: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    customs: list[Custom] = field(default_factory=list)
    hooks: dict[int, list[Any]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    _renamed: dict[int, Any] = field(default_factory=dict)
    _results: set[int] = field(default_factory=set)
    _same: dict[int, Any] = field(default_factory=dict)
    _derived: dict[tuple[int, int], Any] = field(default_factory=dict)
    _known: dict[int, Any] = field(default_factory=dict)
    _operations: dict[int, Operation] = field(default_factory=dict)
    _calls: dict[str, int] = field(default_factory=dict)
    _open: list[Span] = field(default_factory=list)
    tracer: Any = None
    written: set[int] = field(default_factory=set)
    failure: Exception | None = None
    _last: tuple[int, int] = (-1, -1)

    # leaves -----------------------------------------------------------------------------------

    def leaf(self, tensor: Any, kind: str = "", name: str = "") -> Any:
        """The program's value for an eager tensor, declared when first read."""
        if id(tensor) in self.standing:
            return self.standing[id(tensor)][1]
        found = self.leaves.get(id(tensor))
        if found is None:
            if not kind:
                kind, name = self.names.get(
                    id(tensor), ("constant", f"constant_{len(self.leaves)}")
                )
            shape, dtype = tuple(tensor.shape), internals.spelled(tensor.dtype)
            value = internals.declared(f"{kind}:{name}:{len(self.leaves)}", shape, dtype)
            floating = dtype.startswith(("float", "bfloat", "complex"))
            value.stop_gradient = not floating if kind == "input" else bool(tensor.stop_gradient)
            found = self.leaves[id(tensor)] = Leaf(value, tensor, kind, name)
            self.by_value[value.id] = found
        return found.value

    def stand_in(self, value: Any) -> Any:
        """An eager tensor that is read as a value of the program, for callers that take nothing else."""
        with internals.dynamic(self.tracer):
            tensor = paddle.zeros(internals.SHAPE.__get__(value), internals.spelled(value.dtype))
        self.standing[id(tensor)] = tensor, value
        return tensor

    # operands -----------------------------------------------------------------------------------

    def cast(self, operand: Any) -> Any:
        """What Paddle calls for every operand of every new operation.

        An exception out of here would end the process in C++: it is kept, and raised when the
        forward is through or stumbles over it.
        """
        try:
            return self.resolved(operand)
        except Exception as error:
            self.failure = self.failure or error
            return operand

    def resolved(self, operand: Any) -> Any:
        """The program's present value for what the code handles: a value or an eager tensor."""
        if type(operand) is Value:
            operand = self.current(operand)
            self.settle(operand)
            return operand
        if isinstance(operand, internals.TENSOR):
            return self.current(self.leaf(operand))
        return operand

    def settle(self, value: Any) -> None:
        """Gives a value whose shape depends on numbers the shape that it has on the example."""
        if value.is_dense_tensor_type() and -1 in internals.SHAPE.__get__(value):
            internals.typed(value, tuple(self.known(value).shape))

    def current(self, value: Any) -> Any:
        """What a reader of `value` sees after the in-place calls so far."""
        if not self._renamed:
            return value
        while value.id in self._same or value.id in self._renamed:
            value = self._same[value.id] if value.id in self._same else self._renamed[value.id]
        maker = value.get_defining_op()
        if maker is None or maker.name() not in internals.VIEWS or value.id in self._results:
            return value
        base = maker.operand_source(0)
        now = self.current(base)
        if now.id == base.id:
            return value
        key = (value.id, now.id)
        if key not in self._derived:
            mapping = paddle.pir.IrMapping()
            for position, source in enumerate(maker.operands_source()):
                if source.initialized():
                    mapping.add(source, now if position == 0 else source)
            self._derived[key] = maker.clone(
                mapping, paddle.pir.CloneOptions(False, True, True)
            ).result(0)
        return self._derived[key]

    def write(self, target: Any, result: Any) -> Any:
        """Notes that an in-place call put `result` where `target` was."""
        if not isinstance(target, internals.TENSOR) and type(target) is not Value:
            return result
        value = self.leaf(target) if type(target) is not Value else target
        if result.id == self.current(value).id or self._last == (value.id, result.id):
            return result
        self._last = value.id, result.id
        self.written.add(int(result.get_defining_op().id()))
        self._put(value, result)
        return result

    def made(self) -> None:
        """Notes what the operation that was just made writes into its operands."""
        maker = self.program.global_block().back()
        if maker.name() in FRESH or (
            maker.name() == "pd_op.batch_norm_"
            and (maker.attrs()["is_test"] or maker.attrs()["use_global_stats"])
        ):
            return
        if (
            maker.name() == "pd_op.assign_out_"
            and paddle.is_grad_enabled()
            and not maker.operand_source(0).stop_gradient
        ):
            # a program never passes a gradient here; eager mode does (the weight that weight_norm assigns)
            maker.result(0).stop_gradient = False
        for result, operand in internals.inplace_results(maker).items():
            self.write(maker.operand_source(operand), maker.result(result))

    def _put(self, value: Any, result: Any) -> None:
        while value.id in self._same or value.id in self._renamed:
            value = self._same[value.id] if value.id in self._same else self._renamed[value.id]
        self._results.add(result.id)
        maker = value.get_defining_op()
        if maker is not None and maker.name() in internals.VIEWS and value.id not in self._results:
            base = maker.operand_source(0)
            whole = self._written_back(maker, self.current(base), result)
            self._same[result.id] = value
            self._put(base, whole)
            return
        self._renamed[value.id] = result

    def _written_back(self, maker: Any, base: Any, result: Any) -> Any:
        """The base of a view after the view was overwritten with `result`."""
        name = maker.name()
        shape = list(internals.SHAPE.__get__(base))
        attrs = internals.attributes(maker)
        with self._unhooked():
            if name == "pd_op.transpose":
                order = list(attrs["perm"])
                return paddle._C_ops.transpose(
                    result, [order.index(axis) for axis in range(len(order))]
                )
            if name in ("pd_op.slice", "pd_op.strided_slice"):
                numbers = {
                    role: self.known(source).numpy().tolist()
                    for role, source in zip(
                        internals.operand_names(maker), maker.operands_source(), strict=True
                    )
                    if role != "input" and role != "x"
                }
                axes = list(attrs["axes"])
                steps = numbers.get("strides", [1] * len(axes))
                return paddle._C_ops.set_value_with_tensor(
                    base,
                    result,
                    numbers["starts"],
                    numbers["ends"],
                    steps,
                    axes,
                    list(attrs.get("decrease_axis", ())),
                    [],
                )
            return paddle._C_ops.reshape(result, shape)

    @contextmanager
    def _unhooked(self) -> Iterator[None]:
        """New operations read their operands as given."""
        with internals.static_op_arg_cast_guard(lambda operand: operand):
            yield

    # questions ----------------------------------------------------------------------------------

    def known(self, value: Any) -> Any:
        """The eager tensor that a value is on the example, computed when first asked for.

        Raises:
            CaptureError: where the model holds no numbers.
        """
        if value.id in self._known:
            return self._known[value.id]
        with internals.dynamic(self.tracer):
            todo = [value]
            while todo:
                wanted = todo[-1]
                if wanted.id in self._known:
                    todo.pop()
                    continue
                leaf = self.by_value.get(wanted.id)
                if leaf is not None:
                    if not self.concrete:
                        raise _Abort(
                            f"the forward needs the value of {leaf.kind} {leaf.name!r}, and this model holds no numbers (it was made under LazyGuard)"
                        )
                    self._known[wanted.id] = leaf.tensor.detach()
                    todo.pop()
                    continue
                maker = wanted.get_defining_op()
                sources = [source for source in maker.operands_source() if source.initialized()]
                missing = [source for source in sources if source.id not in self._known]
                if missing:
                    todo.extend(missing)
                    continue
                self._compute(maker)
                todo.pop()
        return self._known[value.id]

    def _compute(self, maker: Any) -> None:
        operands: list[Any] = [
            self._known[source.id] if source.initialized() else None
            for source in maker.operands_source()
        ]
        if maker.name() == "builtin.combine":
            results: list[Any] = [operands]
        elif maker.name() == "builtin.split":
            results = list(operands[0])
        else:
            results = self.operation(maker)(operands)
        for result, tensor in zip(maker.results(), results, strict=True):
            self._known[result.id] = tensor

    def operation(self, maker: Any) -> Operation:
        """An operation of the program, made callable once."""
        number = maker.id()
        if number not in self._operations:
            self._operations[number] = Operation.of(maker)
        return self._operations[number]

    def ask(self, value: Any, what: str) -> Any:
        """The numbers of a value, asked for by the forward; noted with the line that asks."""
        line = user_line(sys._getframe(2))
        if not self.answers:
            raise _Abort(f"{what} is asked for at {line or 'an unknown line'}")
        try:
            tensor = self.known(self.current(value))
        except _Abort as error:
            raise _Abort(
                f"{what} is asked for at {line or 'an unknown line'}: {error}", line
            ) from None
        self.notes.setdefault(
            f"{what} at {line or 'an unknown line'} was answered by the example; another input may take another way there"
        )
        with internals.dynamic(self.tracer):
            return tensor.numpy()

    # spans --------------------------------------------------------------------------------------

    def here(self) -> int | None:
        """Id of the newest operation."""
        block = self.program.global_block()
        return None if block.empty() else int(block.back().id())

    def path_of(self, layer: Any) -> str | None:
        """Dotted path of a layer; None where the model does not list it and no list or dict holds it."""
        found = self.paths.get(id(layer))
        if found is not None or not self._open:
            return found
        owner = self._open[-1]
        for name, held in vars(owner.layer).items():
            members = (
                held.items()
                if isinstance(held, dict)
                else enumerate(held)
                if isinstance(held, (list, tuple))
                else ((None, held),)
            )
            for key, member in members:
                if member is layer and not name.startswith("_"):
                    return ".".join(
                        part
                        for part in (owner.path, name, None if key is None else str(key))
                        if part
                    )
        return None

    @contextmanager
    def span(self, path: str, layer: Any) -> Iterator[None]:
        """Operations made inside belong to one call of the layer at `path`."""
        call = self._calls.get(path, 0)
        self._calls[path] = call + 1
        span = Span(path, call, self.here(), layer)
        self.spans.append(span)
        self._open.append(span)
        try:
            yield
        finally:
            self._open.pop()
            span.last = self.here()

    def place(self) -> tuple[str, int]:
        """Path and call of the layer that is running."""
        return (self._open[-1].path, self._open[-1].call) if self._open else ("", 0)

    # running ------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        """Static mode with all patches in place."""
        from padiff_graph.capture.paddle.patches import patches

        self.tracer = internals.dynamic_tracer()
        with (
            internals.patched(*patches(self)),
            internals.building(self.program, self.startup, self.cast),
        ):
            try:
                yield
            except Exception as error:
                if self.failure is not None:
                    raise self.failure from error
                raise
            if self.failure is not None:
                raise self.failure

    def custom(
        self, function: Any, args: tuple[Any, ...], keywords: dict[str, Any], source: str
    ) -> Any:
        """Runs a custom function's forward into the program and notes it as one piece."""
        from padiff_graph.capture.paddle.patches import Context

        args = tuple(
            self.current(self.leaf(arg))
            if isinstance(arg, internals.TENSOR) and type(arg) is not Value
            else self.current(arg)
            if type(arg) is Value
            else arg
            for arg in args
        )
        first = self.here()
        with paddle.no_grad():
            found = function.forward(Context(), *args, **keywords)
        members = list(found) if isinstance(found, (tuple, list)) else [found]
        taken = {arg.id for arg in args if type(arg) is Value}
        learning = any(type(arg) is Value and not arg.stop_gradient for arg in args)
        results: list[Any] = []
        for member in members:
            if type(member) is Value:
                if member.id in taken or member.get_defining_op() is None:
                    member = paddle.assign(member)
                if learning and internals.spelled(member.dtype).startswith(
                    ("float", "bfloat", "complex")
                ):
                    member.stop_gradient = False
            results.append(member)
        path, call = self.place()
        self.customs.append(
            Custom(function, args, keywords, results, first, self.here(), source, path, call)
        )
        return type(found)(results) if isinstance(found, (tuple, list)) else results[0]
