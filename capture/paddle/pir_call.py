"""One PIR operation made callable in eager mode: argument order, results, what is random or in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import paddle

from padiff_graph.capture.engine import NotRunnable
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.static_call import StaticCall

__all__ = ["RANDOM", "Operation", "is_random", "unshareable"]

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
    {"dropout", "gaussian", "uniform", "bernoulli", "gaussian_inplace", "uniform_inplace"}
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
    """

    native: Any
    name: str
    roles: tuple[str, ...]
    operand_widths: tuple[int | None, ...]
    widths: tuple[int | None, ...]
    hidden: tuple[bool, ...]
    attrs: dict[str, Any]
    overwritten: dict[int, int]
    _plan: tuple[Any, list[tuple[str, Any]]] | None = field(default=None, repr=False)
    _static: StaticCall | None = field(default=None, repr=False)

    @classmethod
    def of(cls, native: Any) -> Operation:
        """Reads an operation of a program."""
        sources = native.operands_source()
        roles = internals.operand_names(native)
        results = native.results()
        widths = tuple(
            len(types) if isinstance(types := internals.result_types(result), list) else None
            for result in results
        )
        hidden = internals.intermediate(native)
        return cls(
            native,
            native.name().partition(".")[2],
            tuple(roles),
            tuple(
                len(source.type().as_vec_type().as_list())
                if source.initialized() and source.is_combine()
                else None
                for source in sources
            ),
            widths,
            tuple(hidden) if len(hidden) == len(results) else (False,) * len(results),
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
            answered: list[Any] = special(self, operands, double)
            return answered
        function, plan = self.prepared()
        if function is None:
            return self._by_program(operands, double)
        given = []
        for kind, payload in plan:
            if kind == "operand":
                given.append(operands[payload])
            elif kind == "number":
                given.append(None if operands[payload] is None else operands[payload].item())
            elif kind == "numbers":
                given.append(_numbers(operands[payload]))
            elif kind == "dtype":
                given.append(internals.data_type(_widened(payload) if double else payload))
            else:
                given.append(payload)
        return self._results(function(*given))

    def prepared(self) -> tuple[Any, list[tuple[str, Any]]]:
        """The eager function and where each of its arguments comes from."""
        if self._plan is None:
            self._plan = self._planned(self.name.removesuffix(internals.INPLACE)) or (None, [])
        return self._plan

    def _planned(self, name: str) -> tuple[Any, list[tuple[str, Any]]] | None:
        function = internals.eager_operation(name)
        order = internals.arguments(name, frozenset(self.roles) | frozenset(self.attrs))
        if function is None or order is None:
            return None
        tensors, scalars = internals.tensor_arguments(name), internals.scalar_arguments(name)
        plan: list[tuple[str, Any]] = []
        for argument in order:
            if argument in self.roles:
                kind = (
                    "operand"
                    if argument in tensors
                    else "number"
                    if argument in scalars
                    else "numbers"
                )
                plan.append((kind, self.roles.index(argument)))
                continue
            value = self.attrs[argument]
            if argument == "place":
                plan.append(
                    (
                        "attribute",
                        paddle.CPUPlace() if value == "cpu" else internals.expected_place(),
                    )
                )
            elif argument in DTYPES and isinstance(value, str):
                plan.append(("dtype", value))
            else:
                plan.append(("attribute", list(value) if isinstance(value, tuple) else value))
        return function, plan

    def _results(self, found: Any) -> list[Any]:
        """Lays eager results out as PIR's."""
        shown = [position for position, hidden in enumerate(self.hidden) if not hidden]
        if len(shown) == 1:
            found = (found,)
        elif len(found) == len(self.hidden):
            shown = list(range(len(found)))
        results: list[Any] = [None] * len(self.hidden)
        if len(found) != len(shown):
            raise NotRunnable(
                f"{self.name}: eager mode returns {len(found)} results, the program has {len(shown)}"
            )
        for position, result in zip(shown, found, strict=True):
            results[position] = result
        return results

    def _by_program(self, operands: Sequence[Any], double: bool) -> list[Any]:
        if self._static is None:
            self._static = StaticCall(self.native, self.name)
        return self._static(operands, double)


DTYPES = frozenset({"dtype", "out_dtype", "index_dtype", "value_dtype"})
"""Attributes that are dtypes."""


def _widened(dtype: str) -> str:
    return "float64" if dtype in ("float32", "float16", "bfloat16") else dtype


def _numbers(operand: Any) -> Any:
    """A list of numbers that the program holds as a tensor or as a vector of tensors."""
    if isinstance(operand, list):
        return [member.item() for member in operand]
    if operand is None:
        return []
    return operand.numpy().reshape(-1).tolist()


def _batch_norm(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """Statistics are written in place by eager mode: it gets copies, which come back as results."""
    by_role = dict(zip(operation.roles, operands, strict=True))
    a = operation.attrs
    mean, variance = by_role["mean"].clone(), by_role["variance"].clone()
    found = internals.eager_operation("batch_norm")(
        by_role["x"], mean.detach(), variance.detach(), by_role["scale"], by_role["bias"],
        a["is_test"], a["momentum"], a["epsilon"], a["data_format"], a["use_global_stats"], a["trainable_statistics"],
    )  # fmt: skip
    return list(found)


def _rnn(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """Outside training eager mode keeps nothing for a backward pass; without dropout, training computes the same."""
    a = operation.attrs
    by_role = dict(zip(operation.roles, operands, strict=True))
    silent = bool(a["is_test"])
    state = by_role["dropout_state_in"]
    if state is None or not state._is_initialized():
        state = paddle.zeros([0], "uint8")
    out, state, states = internals.eager_operation("rnn")(
        by_role["x"], by_role["pre_state"], by_role["weight_list"], by_role["sequence_length"], state, 0.0 if silent else a["dropout_prob"],
        a["is_bidirec"], a["input_size"], a["hidden_size"], a["num_layers"], a["mode"], a["seed"], silent and not paddle.is_grad_enabled(),
    )  # fmt: skip
    return [out, state, states, None]


def _assign_value(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """A constant spelled out in the program."""
    a = operation.attrs
    dtype = _widened(a["dtype"]) if double else a["dtype"]
    values = np.array(
        a["values"], np.float64 if dtype.startswith(("float", "bfloat")) else None
    ).reshape(a["shape"])
    return [paddle.to_tensor(values, dtype=dtype)]


def _same(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """The same values without a gradient."""
    return [operands[0].detach()]


def _assigned(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """`assign_out_(x, output)`: x takes output's place."""
    return [paddle.assign(operands[0])]


def _arg_extreme(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    a = operation.attrs
    axis = (
        None if a["flatten"] else dict(zip(operation.roles, operands, strict=True))["axis"].item()
    )
    return [
        getattr(paddle, operation.name)(operands[0], axis, keepdim=a["keepdims"], dtype=a["dtype"])
    ]


def _logsumexp(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    a = operation.attrs
    return [
        paddle.logsumexp(operands[0], None if a["reduce_all"] else list(a["axis"]), a["keepdim"])
    ]


def _expand_as(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    return [paddle.expand(operands[0], list(operation.attrs["target_shape"]))]


def _full(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    """A constant; the value keeps its double precision in float64."""
    a = operation.attrs
    return [
        paddle.full(list(a["shape"]), a["value"], _widened(a["dtype"]) if double else a["dtype"])
    ]


def _full_int_array(operation: Operation, operands: Sequence[Any], double: bool) -> list[Any]:
    a = operation.attrs
    return [paddle.to_tensor(np.array(a["value"], np.int64), dtype=a["dtype"])]


SPECIAL: Mapping[str, Any] = {
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
}
"""Operations whose eager call is not the generated function on the same arguments."""
