"""Which operations of a recorded program become nodes: those that something depends on, and custom
functions in place of the operations of their forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle.backward_code import Custom
from padiff_graph.capture.paddle.layer_calls import extent
from padiff_graph.capture.paddle.pir_call import is_random

__all__ = ["ProgramPieces", "program_pieces"]

DATA = "pd_op.data"
"""The operation that declares an input of a program."""


@dataclass(frozen=True)
class ProgramPieces:
    """What stands for what in the graph.

    Attributes:
        bodies: ids of operations inside custom functions.
        customs: the outermost custom functions by the id of their last operation.
        needed: ids of operations that outputs and updates depend on, and of those that draw.
    """

    bodies: frozenset[int]
    customs: Mapping[int, Custom]
    needed: frozenset[int]


def program_pieces(
    operations: Sequence[Any], customs: Sequence[Custom], roots: Sequence[Any]
) -> ProgramPieces:
    """Sorts a program's operations.

    Args:
        operations: all of them, in program order.
        customs: custom functions in the order of their ends.
        roots: values that are asked for.
    """
    bodies, outermost = _bodies(operations, customs)
    needed = _needed(operations, roots, outermost)
    return ProgramPieces(frozenset(bodies), outermost, frozenset(needed))


def _bodies(
    operations: Sequence[Any], customs: Sequence[Custom]
) -> tuple[set[int], dict[int, Custom]]:
    position = {operation.id(): number for number, operation in enumerate(operations)}
    bodies: set[int] = set()
    outermost: dict[int, Custom] = {}
    for custom in customs:
        first, last = extent(position, custom.first, custom.last)
        if custom.last is None or last < first:
            continue
        within = operations[first : last + 1]
        body = {operation.id() for operation in within if operation.name() != DATA}
        # an outer function closes later and swallows the inner ones
        for end in [end for end in outermost if end in body and end != custom.last]:
            del outermost[end]
        outermost[custom.last] = custom
        bodies |= body
    return bodies, outermost


def _needed(
    operations: Sequence[Any], roots: Sequence[Any], customs: Mapping[int, Custom]
) -> set[int]:
    makers: dict[int, Custom] = {}
    for custom in customs.values():
        for result in custom.outputs():
            makers[result.get_defining_op().id()] = custom
    needed: set[int] = set()
    todo = [value.get_defining_op() for value in roots]
    todo += [operation for operation in operations if _draws(operation)]
    while todo:
        operation = todo.pop()
        if operation is None or operation.id() in needed:
            continue
        needed.add(operation.id())
        custom_maker = makers.get(operation.id())
        if custom_maker is not None:
            needed.add(int(custom_maker.last or 0))
            todo += [operand.get_defining_op() for operand in custom_maker.operands()]
        todo += _read_by(operation)
    return needed


def _read_by(operation: Any) -> list[Any]:
    """The operations that made an operation's operands."""
    sources = operation.operands_source()
    return [source.get_defining_op() for source in sources if source.initialized()]


def _draws(operation: Any) -> bool:
    name = operation.name().partition(".")[2]
    return is_random(name, internals.attributes(operation), {})
