"""One PIR operation made callable in eager mode: argument order, results, what is random or in
place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import paddle

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.paddle import eager_calls, internals
from padiff_graph.capture.paddle.static_call import StaticCall

__all__ = ["BATCH_NORM", "SPECIAL", "Argument", "Operation", "is_random", "unshareable"]

Tensor = Any

RANDOM: Mapping[str, str] = {
    "dropout": "p",
    "fused_dropout_add": "p",
    "flash_attn": "dropout",
    "flash_attn_unpadded": "dropout",
    "memory_efficient_attention": "dropout_p",
    "rnn": "dropout_prob",
    "rrelu": "",
    "gaussian": "",
    "gaussian_inplace": "",
    "truncated_gaussian_random": "",
    "uniform": "",
    "uniform_inplace": "",
    "randint": "",
    "randperm": "",
    "bernoulli": "",
    "binomial": "",
    "multinomial": "",
    "poisson": "",
    "exponential": "",
    "standard_gamma": "",
    "dirichlet": "",
    "gumbel_softmax": "",
}
"""Operations that draw, and the attribute or operand whose zero silences them ("" for none)."""

OWN_DRAW = frozenset(
    {
        "dropout",
        "gaussian",
        "uniform",
        "bernoulli",
        "gaussian_inplace",
        "uniform_inplace",
        "randint",
        "randperm",
    }
)
"""Random operations that take a draw from outside."""


def is_random(name: str, attrs: Mapping[str, Any], operands: Mapping[str, Any]) -> bool:
    """Whether the operation draws. `operands`: constants among the operands by role."""
    if name not in RANDOM or attrs.get("is_test") is True:
        return False
    rate = RANDOM[name]
    return not rate or bool(attrs.get(rate, operands.get(rate, 1)))


def unshareable(name: str) -> bool:
    """Whether a random operation cannot take a draw from outside."""
    return name not in OWN_DRAW


class Argument(NamedTuple):
    """Where an argument of an eager function comes from.

    Attributes:
        kind: "operand", a tensor; "number" or "numbers", an operand read as Python numbers;
            "dtype", a dtype by name; "attribute", anything else.
        payload: the operand's position, the dtype's name, or the attribute.
    """

    kind: Literal["operand", "number", "numbers", "dtype", "attribute"]
    payload: Any


@dataclass
class Operation:
    """A PIR operation with its call worked out.

    Attributes:
        native: the operation in its program.
        name: without the dialect.
        roles: one for each PIR operand.
        operand_widths: for each PIR operand None for one tensor, else the number of its members.
        widths: for each PIR result None for one tensor, else the number of its members.
        hidden: for each PIR result whether eager mode keeps it to itself.
        attrs: the attributes of the call, as plain Python.
        overwritten: positions of results that overwrite an operand, with that operand's position.
    """

    native: Any
    name: str
    roles: tuple[str, ...]
    operand_widths: tuple[int | None, ...]
    widths: tuple[int | None, ...]
    hidden: tuple[bool, ...]
    attrs: dict[str, Any]
    overwritten: dict[int, int]
    _plan: tuple[Any, list[Argument]] | None = field(default=None, repr=False)
    _static: StaticCall | None = field(default=None, repr=False)

    @classmethod
    def of(cls, native: Any) -> Operation:
        """Reads an operation of a program."""
        results = native.results()
        hidden = tuple(internals.intermediate(native))
        if len(hidden) != len(results):
            hidden = (False,) * len(results)
        return cls(
            native,
            native.name().partition(".")[2],
            tuple(internals.operand_names(native)),
            tuple(internals.vector_width(source) for source in native.operands_source()),
            tuple(internals.vector_width(result) for result in results),
            hidden,
            internals.attributes(native),
            internals.inplace_results(native),
        )

    def __call__(self, operands: Sequence[Any], double: bool = False) -> list[Any]:
        """Runs it out of place in dynamic mode.

        Args:
            operands: tensors (None where absent, lists for vectors), in PIR's order.
            double: answer float32 dtype attributes in float64.

        Returns:
            One entry for each PIR result: a tensor, a list, or None for what eager mode hides.

        Raises:
            NotRunnable: where neither eager nor static mode can run it.
        """
        special = SPECIAL.get(self.name)
        if special is not None:
            return special(self, operands, double)
        function, plan = self.prepared()
        if function is None:
            return self._by_program(operands, double)
        given = [_given(argument, operands, double) for argument in plan]
        return self._results(function(*given))

    def grouped(self, operands: Sequence[Any]) -> list[Any]:
        """Operands of a graph's node as the operation takes them: members of a vector in a list."""
        remaining = iter(operands)
        groups: list[Any] = []
        for width in self.operand_widths:
            if width is None:
                groups.append(next(remaining))
            else:
                groups.append([next(remaining) for _ in range(width)])
        return groups

    def flattened(self, results: Sequence[Any]) -> list[Any]:
        """Results as outputs of a graph's node: members of a vector one by one."""
        flat: list[Any] = []
        for result, width in zip(results, self.widths, strict=True):
            if width is None:
                flat.append(result)
            elif result is None:
                flat += [None] * width
            else:
                flat += list(result)
        return flat

    def prepared(self) -> tuple[Any, list[Argument]]:
        """The eager function and where each of its arguments comes from; (None, []) without one."""
        if self._plan is None:
            self._plan = self._planned(self.name.removesuffix(internals.INPLACE)) or (None, [])
        return self._plan

    def _planned(self, name: str) -> tuple[Any, list[Argument]] | None:
        function = eager_calls.eager_operation(name)
        order = eager_calls.arguments(name, frozenset(self.roles) | frozenset(self.attrs))
        if function is None or order is None:
            return None
        return function, [self._argument(name, argument) for argument in order]

    def _argument(self, name: str, argument: str) -> Argument:
        if argument in self.roles:
            position = self.roles.index(argument)
            if argument in eager_calls.tensor_arguments(name):
                return Argument("operand", position)
            if argument in eager_calls.scalar_arguments(name):
                return Argument("number", position)
            return Argument("numbers", position)
        value = self.attrs[argument]
        if argument == "place":
            host = paddle.CPUPlace()
            return Argument("attribute", host if value == "cpu" else internals.expected_place())
        if argument in DTYPES and isinstance(value, str):
            return Argument("dtype", value)
        return Argument("attribute", list(value) if isinstance(value, tuple) else value)

    def _results(self, returned: Any) -> list[Any]:
        """Lays eager results out as PIR's."""
        shown = [position for position, hidden in enumerate(self.hidden) if not hidden]
        if len(shown) == 1:
            returned = (returned,)
        elif len(returned) == len(self.hidden):
            shown = list(range(len(returned)))
        if len(returned) != len(shown):
            raise NotRunnable(
                f"{self.name}: eager mode returns {len(returned)} results,"
                f" the program has {len(shown)}"
            )
        results: list[Any] = [None] * len(self.hidden)
        for position, result in zip(shown, returned, strict=True):
            results[position] = result
        return results

    def _by_program(self, operands: Sequence[Any], double: bool) -> list[Any]:
        if self._static is None:
            self._static = StaticCall(self.native, self.name)
        return self._static(operands, double)


DTYPES = frozenset({"dtype", "out_dtype", "index_dtype", "value_dtype"})
"""Attributes that are dtypes."""


WIDENED = {
    **dict.fromkeys(("float32", "float16", "bfloat16"), "float64"),
    "complex64": "complex128",
}
"""How a dtype that an operation asks for is answered in float64."""


def _given(argument: Argument, operands: Sequence[Any], double: bool) -> Any:
    """What an eager function is called with."""
    kind, payload = argument
    if kind == "operand":
        return operands[payload]
    if kind == "number":
        return None if operands[payload] is None else operands[payload].item()
    if kind == "numbers":
        return _numbers(operands[payload])
    if kind == "dtype":
        return internals.data_type(_widened(payload, double))
    return payload


def _widened(dtype: str, double: bool) -> str:
    """A dtype as it is answered; with `double` floating ones in float64, complex ones as wide."""
    return WIDENED.get(dtype, dtype) if double else dtype


def _numbers(operand: Any) -> list[Any]:
    """A list of numbers that the program holds as a tensor or as a vector of tensors."""
    if isinstance(operand, list):
        return [member.item() for member in operand]
    if operand is None:
        return []
    numbers: list[Any] = operand.numpy().reshape(-1).tolist()
    return numbers


# operations whose eager call is not the generated function on the same arguments


def _batch_norm(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """Statistics are written in place by eager mode: it gets copies, which come back as results.

    No gradient goes through them; a backward that starts there alone ends the process.
    """
    by_role = dict(zip(operation.roles, operands, strict=True))
    statistics = [by_role[name].clone().detach() for name in ("mean", "variance")]
    attributes = [operation.attrs[name] for name in BATCH_NORM]
    function = eager_calls.eager_operation("batch_norm")
    y, *kept = function(by_role["x"], *statistics, by_role["scale"], by_role["bias"], *attributes)
    return [y, *(tensor if tensor is None else tensor.detach() for tensor in kept)]


def _rnn(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """Outside training eager mode keeps nothing for a backward pass; without dropout, training
    computes the same."""
    attrs = operation.attrs
    by_role = dict(zip(operation.roles, operands, strict=True))
    silent = bool(attrs["is_test"])
    state = by_role["dropout_state_in"]
    if state is None or not state._is_initialized():
        state = paddle.zeros([0], "uint8")
    out, state, states = eager_calls.eager_operation("rnn")(
        *(by_role[name] for name in ("x", "pre_state", "weight_list", "sequence_length")),
        state,
        0.0 if silent else attrs["dropout_prob"],
        *(attrs[name] for name in RNN),
        silent and not paddle.is_grad_enabled(),
    )
    return [out, state, states, None]


def _assign_value(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """A constant spelled out in the program."""
    attrs = operation.attrs
    dtype = _widened(attrs["dtype"], double)
    exact = np.float64 if dtype.startswith(("float", "bfloat")) else None
    values = np.array(attrs["values"], exact).reshape(attrs["shape"])
    return [paddle.to_tensor(values, dtype=dtype)]


def _same(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """The same values without a gradient."""
    return [operands[0].detach()]


def _assigned(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """`assign_out_(x, output)`: x takes output's place."""
    return [paddle.assign(operands[0])]


def _arg_extreme(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    attrs = operation.attrs
    axis = None
    if not attrs["flatten"]:
        axis = dict(zip(operation.roles, operands, strict=True))["axis"].item()
    function = getattr(paddle, operation.name)
    return [function(operands[0], axis, keepdim=attrs["keepdims"], dtype=attrs["dtype"])]


def _logsumexp(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    attrs = operation.attrs
    axes = None if attrs["reduce_all"] else list(attrs["axis"])
    return [paddle.logsumexp(operands[0], axes, attrs["keepdim"])]


def _expand_as(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    return [paddle.expand(operands[0], list(operation.attrs["target_shape"]))]


def _full(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """A constant; the value keeps its double precision in float64."""
    attrs = operation.attrs
    return [paddle.full(list(attrs["shape"]), attrs["value"], _widened(attrs["dtype"], double))]


def _full_int_array(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    attrs = operation.attrs
    return [paddle.to_tensor(np.array(attrs["value"], np.int64), dtype=attrs["dtype"])]


def _unique(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """Different numbers of a tensor; eager mode always sorts them."""
    attrs = operation.attrs
    flags = [attrs[name] for name in ("return_index", "return_inverse", "return_counts")]
    dtype = internals.data_type(attrs["dtype"])
    function = eager_calls.eager_operation("unique")
    return list(function(operands[0], *flags, list(attrs["axis"]), dtype))


BATCH_NORM = (
    "is_test",
    "momentum",
    "epsilon",
    "data_format",
    "use_global_stats",
    "trainable_statistics",
)
"""Attributes of batch norm in the order of its eager function's arguments."""

RNN = ("is_bidirec", "input_size", "hidden_size", "num_layers", "mode", "seed")
"""Likewise of recurrent layers, between the rate of dropout and whether it is a test."""

SPECIAL: Mapping[str, Callable[[Operation, Sequence[Any], bool], list[Any]]] = {
    "batch_norm": _batch_norm,
    "batch_norm_": _batch_norm,
    "rnn": _rnn,
    "argmax": _arg_extreme,
    "argmin": _arg_extreme,
    "logsumexp": _logsumexp,
    "expand_as": _expand_as,
    "assign_value_": _assign_value,
    "assign_value": _assign_value,
    "share_data_": _same,
    "share_data": _same,
    "assign_out_": _assigned,
    "full": _full,
    "full_int_array": _full_int_array,
    "unique": _unique,
}
"""Operations whose eager call is not the generated function on the same arguments."""
