"""In-place calls in a program whose values never change: later readers are given the result.

A view shares memory with its base. Where a view is overwritten, the base is written back with the
view's new numbers; where a base is overwritten, its views are read anew from what it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paddle

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.example_numbers import ExampleNumbers

__all__ = ["Overwrites"]

FRESH = frozenset({"pd_op.assign_value_", "pd_op.share_data_"})
"""Operations called in place that overwrite nothing anybody else can see."""


@dataclass
class Overwrites:
    """What readers of a value see after the in-place calls so far.

    Attributes:
        numbers: what values are on the example, for bounds of slices.
        written: ids of the operations that put their result where another value was.
    """

    numbers: ExampleNumbers
    written: set[int] = field(default_factory=set)
    _successor: dict[int, Any] = field(default_factory=dict)
    _view_of_written: dict[int, Any] = field(default_factory=dict)
    _results: set[int] = field(default_factory=set)
    _reread: dict[tuple[int, int], Any] = field(default_factory=dict)
    _last: tuple[int, int] = (-1, -1)

    def current(self, value: Any) -> Any:
        """What a reader of `value` sees now."""
        if not self._successor:
            return value
        value = self._newest(value)
        if not self._is_view(value):
            return value
        maker = value.get_defining_op()
        base = maker.operand_source(0)
        base_now = self.current(base)
        if base_now.id == base.id:
            return value
        key = (value.id, base_now.id)
        if key not in self._reread:
            self._reread[key] = _with_base(maker, base_now)
        return self._reread[key]

    def write(self, value: Any, result: Any) -> None:
        """Notes that an in-place call put `result` where `value` was."""
        pair = value.id, result.id
        if result.id == self.current(value).id or pair == self._last:
            return
        self._last = pair
        self.written.add(int(result.get_defining_op().id()))
        self._put(value, result)

    def made(self, maker: Any) -> None:
        """Notes what an operation that was just made writes into its operands."""
        if maker.name() in FRESH or _keeps_statistics(maker):
            return
        if (
            maker.name() == "pd_op.assign_out_"
            and paddle.is_grad_enabled()
            and not maker.operand_source(0).stop_gradient
        ):
            # a program never passes a gradient here; eager mode does (what weight_norm assigns)
            maker.result(0).stop_gradient = False
        for result, operand in internals.inplace_results(maker).items():
            self.write(maker.operand_source(operand), maker.result(result))

    def _newest(self, value: Any) -> Any:
        while True:
            if value.id in self._view_of_written:
                value = self._view_of_written[value.id]
            elif value.id in self._successor:
                value = self._successor[value.id]
            else:
                return value

    def _is_view(self, value: Any) -> bool:
        maker = value.get_defining_op()
        return (
            maker is not None and maker.name() in internals.VIEWS and value.id not in self._results
        )

    def _put(self, value: Any, result: Any) -> None:
        value = self._newest(value)
        self._results.add(result.id)
        if not self._is_view(value):
            self._successor[value.id] = result
            return
        maker = value.get_defining_op()
        base = maker.operand_source(0)
        with _as_given():
            whole = self._written_back(maker, self.current(base), result)
        self._view_of_written[result.id] = value
        self._put(base, whole)

    def _written_back(self, maker: Any, base: Any, result: Any) -> Any:
        """The base of a view after the view was overwritten with `result`."""
        write_back = WRITTEN_BACK.get(maker.name())
        if write_back is not None:
            return write_back(self.numbers, maker, base, result)
        return paddle._C_ops.reshape(result, list(internals.shape_of(base)))


def _keeps_statistics(maker: Any) -> bool:
    """Whether an operation is a batch norm that only reads its running statistics."""
    if maker.name() != "pd_op.batch_norm_":
        return False
    attributes = maker.attrs()
    frozen = attributes["is_test"] and not attributes["trainable_statistics"]
    return bool(frozen or attributes["use_global_stats"])


def _with_base(maker: Any, base: Any) -> Any:
    """The result of a view's operation on another base."""
    mapping = paddle.pir.IrMapping()
    for position, source in enumerate(maker.operands_source()):
        if source.initialized():
            mapping.add(source, base if position == 0 else source)
    return maker.clone(mapping, paddle.pir.CloneOptions(False, True, True)).result(0)


@contextmanager
def _as_given() -> Iterator[None]:
    """New operations read their operands as given, not as they are now."""
    with internals.static_op_arg_cast_guard(lambda operand: operand):
        yield


def _transposed_back(_: ExampleNumbers, maker: Any, base: Any, result: Any) -> Any:
    order = list(internals.attributes(maker)["perm"])
    return paddle._C_ops.transpose(result, [order.index(axis) for axis in range(len(order))])


def _sliced_back(numbers: ExampleNumbers, maker: Any, base: Any, result: Any) -> Any:
    attributes = internals.attributes(maker)
    axes = list(attributes["axes"])
    bounds: dict[str, list[int]] = {"strides": [1] * len(axes)}
    for role, source in zip(internals.operand_names(maker), maker.operands_source(), strict=True):
        if role not in ("input", "x"):
            bounds[role] = numbers.tensor(source).numpy().tolist()
    dropped = list(attributes.get("decrease_axis", ()))
    return paddle._C_ops.set_value_with_tensor(
        base, result, bounds["starts"], bounds["ends"], bounds["strides"], axes, dropped, []
    )


WRITTEN_BACK: dict[str, Callable[[ExampleNumbers, Any, Any, Any], Any]] = {
    "pd_op.transpose": _transposed_back,
    "pd_op.slice": _sliced_back,
    "pd_op.strided_slice": _sliced_back,
}
"""How a view's new numbers go into its base; the other views only have another shape."""
