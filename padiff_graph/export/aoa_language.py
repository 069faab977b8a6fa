"""AOA statements, which say where a Paddle model's parameters come from in a checkpoint: read, and
carried out on the numbers of elements.

The grammar is that of Paddle's `paddle.distributed.flex_checkpoint.aoa` (parser.py and macros.py):

    STATEMENT ::= VAR {',' VAR} '->' VAR {',' VAR} {',' ATTRIBUTE}
    ATTRIBUTE ::= NAME '=' (NUMBER | STRING)

Several names on the left are put together along `axis`, several on the right are equal parts;
`^T` turns all axes of a name on the left, `permute` orders them; `_` stands for nothing. The macros
`$LAYER_ID`, `$EXPERT_ID`, `*`, `fused_qkv` and `fused_ffn` are known, for weights in one shard.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.errors import UsageError
from padiff_graph.file_reading import DAMAGED, reason_of

__all__ = ["IDENTIFIER", "STAR", "Statement", "carried_out", "read_statement", "starred"]

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9._]*")
"""A parameter's name as statements may hold it."""
PLACEHOLDERS = ("$LAYER_ID", "$EXPERT_ID")
STAR = "*"
"""Stands for the names of all numbers, in their order."""
TURNED = "^T"
NOTHING = "_"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._$^*]*")
ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*(\d+|"[^"]*"|'[^']*')""")
FLAGS = ("fused_qkv", "fused_ffn")
KNOWN = ("axis", "permute", "dtype", "src_dtype", "dst_dtype", "num_heads", "num_key_value_groups")
CARRYING = (*DAMAGED, IndexError, OverflowError)
"""What numpy and the reader of literals raise where a statement's numbers do not fit."""
MOST_DIGITS = 9
"""Of a number in an attribute; more is no axis and no count of heads."""
MOST_GROWTH = 16
"""How many times as large as all sources together a name may become; chosen above the heads that
share one key, as a few statements could double a tensor without end."""
SHOWN = 120
"""Characters of a statement that an error tells; chosen so that it stays two lines."""
DEFAULT_AXIS = 1
"""Of the macros that fuse, where a statement names none."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        left, right: names; those on the left may end in "^T".
        attributes: as written; a number where it is one.
        flags: macros that it asks for.
        text: as it stands in the file.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    attributes: Mapping[str, int | str]
    flags: frozenset[str]
    text: str


def read_statement(text: str) -> Statement:
    """Reads one statement.

    Raises:
        UsageError: it does not keep to the grammar, or asks for a macro that is not known.
    """
    left, arrow, rest = text.partition("->")
    if not arrow or "->" in rest:
        raise _wrong(text, "expected 'names -> names, attributes'")
    attributes: dict[str, int | str] = {}
    for name, value in ATTRIBUTE.findall(rest):
        if value[0] not in "'\"" and len(value) > MOST_DIGITS:
            raise _wrong(text, f"the number of {name} is too large")
        attributes[name] = value[1:-1] if value[0] in "'\"" else int(value)
    unknown = [name for name in attributes if name not in KNOWN]
    if unknown:
        raise _wrong(text, f"the attribute {unknown[0]!r} is not known")
    words = [word.strip() for word in ATTRIBUTE.sub("", rest).split(",")]
    words = [word for word in words if word]
    flags = frozenset(word for word in words if word in FLAGS)
    right = tuple(word for word in words if word not in FLAGS)
    lefts = tuple(word.strip() for word in left.split(","))
    for name in (*lefts, *right):
        if not NAME.fullmatch(name):
            raise _wrong(text, f"{name!r} is no name")
    if any(name.endswith(TURNED) for name in right):
        raise _wrong(text, "nothing can be assigned to a turned name")
    if any(name.count(STAR) > 1 for name in (*lefts, *right)):
        raise _wrong(text, "a name holds one * at most")
    if not right or (len(lefts) > 1 and len(right) > 1 and not flags):
        raise _wrong(text, "it is neither a concatenation nor a split")
    return Statement(lefts, right, attributes, flags, text)


def starred(name: str, known: Iterable[str]) -> list[str]:
    """The known names that one with a star stands for, by their numbers."""
    before, behind = (re.escape(part) for part in name.split(STAR))
    matches = (re.fullmatch(rf"{before}(\d+){behind}", candidate) for candidate in known)
    return [match[0] for match in sorted(filter(None, matches), key=lambda match: int(match[1]))]


def carried_out(
    statements: Sequence[Statement],
    sources: Mapping[str, Array],
    targets: Collection[str] = (),
) -> dict[str, Array | None]:
    """Every name that statements assign, with the array that it holds; None for one that nothing is
    read for.

    Args:
        statements: in their order.
        sources: the checkpoint's arrays by name.
        targets: the model's parameters by name, for a star on the right.

    Raises:
        UsageError: a name that is not there, or sizes that do not fit.
    """
    held: dict[str, Array] = dict(sources)
    made: dict[str, Array | None] = {}
    most = MOST_GROWTH * sum(array.size for array in sources.values())
    for statement in statements:
        for numbered in _expanded(statement, held):
            single = _listed(numbered, sources, targets)
            if single.right == (NOTHING,):
                continue
            if single.left == (NOTHING,):
                made[single.right[0]] = None
                continue
            operands = [_value(name, held, single) for name in single.left]
            if sum(operand.size for operand in operands) > most:
                raise _wrong(single.text, "it puts together more than there is in the checkpoint")
            results = _results(single, operands)
            if len(results) != len(single.right):
                raise _wrong(single.text, f"it yields {len(results)} and names {len(single.right)}")
            for name, array in zip(single.right, results, strict=True):
                held[name] = made[name] = array
    return made


def _expanded(statement: Statement, held: Mapping[str, Array]) -> Iterator[Statement]:
    """The statement for each number that its placeholders stand for."""
    names = (*statement.left, *statement.right)
    marks = [mark for mark in PLACEHOLDERS if any(mark in name for name in names)]
    if not marks:
        yield statement
        return
    pattern = next(name for name in names if marks[0] in name).removesuffix(TURNED)
    expression = re.escape(pattern)
    for mark in marks:
        first, *others = expression.split(re.escape(mark))
        group = mark[1:]
        expression = f"{first}(?P<{group}>\\d+)" + f"(?P={group})".join(others)
    matches = [re.fullmatch(expression, name) for name in held]
    numbers = {mark: {int(m[mark[1:]]) for m in matches if m} for mark in marks}
    for chosen in product(*(sorted(numbers[mark]) for mark in marks)):
        said = dict(zip(marks, chosen, strict=True))
        left = tuple(_numbered(name, said) for name in statement.left)
        right = tuple(_numbered(name, said) for name in statement.right)
        yield Statement(left, right, statement.attributes, statement.flags, statement.text)


def _listed(statement: Statement, sources: Collection[str], targets: Collection[str]) -> Statement:
    """The statement with every name that a star stands for.

    Raises:
        UsageError: it stands for nothing, or the statement would be neither a concatenation nor a
            split.
    """
    sides: list[tuple[str, ...]] = []
    for names, known in ((statement.left, sources), (statement.right, targets)):
        listed: list[str] = []
        for name in names:
            listed += starred(name, known) if STAR in name else [name]
        sides.append(tuple(listed))
    if not all(sides) or (min(map(len, sides)) > 1 and not statement.flags):
        raise _wrong(statement.text, "a * stands for no name, or on both sides for several")
    return replace(statement, left=sides[0], right=sides[1])


def _numbered(name: str, said: Mapping[str, int]) -> str:
    for mark, number in said.items():
        name = name.replace(mark, str(number))
    return name


def _value(name: str, held: Mapping[str, Array], statement: Statement) -> Array:
    plain = name.removesuffix(TURNED)
    if plain not in held:
        raise _wrong(statement.text, f"there is no {plain!r} to read")
    return held[plain].T if name.endswith(TURNED) else held[plain]


def _results(statement: Statement, operands: Sequence[Array]) -> list[Array]:
    """What a statement assigns."""
    try:
        if "fused_qkv" in statement.flags:
            return _qkv(statement, operands)
        axis = _axis(statement, DEFAULT_AXIS if statement.flags else 0)
        if len(operands) > 1:
            return [np.concatenate(operands, axis)]
        if len(statement.right) > 1:
            return np.split(operands[0], len(statement.right), axis)
        return [_ordered(operands[0], statement)]
    except CARRYING as error:
        raise _wrong(statement.text, reason_of(error)) from None


def _ordered(operand: Array, statement: Statement) -> Array:
    order = statement.attributes.get("permute")
    if order is None:
        return operand
    axes = ast.literal_eval(str(order))
    return np.transpose(operand, axes or None)


def _qkv(statement: Statement, operands: Sequence[Array]) -> list[Array]:
    """Queries, keys and values of each group beside each other, or taken apart again."""
    axis = _axis(statement, DEFAULT_AXIS)
    heads = int(statement.attributes["num_heads"]) if "num_heads" in statement.attributes else 0
    groups = int(statement.attributes.get("num_key_value_groups", heads))
    if not heads or not groups or heads % groups:
        raise ValueError("fused_qkv needs num_heads, and num_key_value_groups that divides it")
    each = heads // groups
    if len(operands) == 3 and len(statement.right) == 1:
        parts = [np.split(array, groups, axis) for array in operands]
        rows = [part for group in zip(*parts, strict=True) for part in group]
        return [np.concatenate(rows, axis)]
    if len(operands) == 1 and len(statement.right) == 3:
        pieces = np.split(operands[0], groups * (each + 2), axis)
        at = range(0, len(pieces), each + 2)
        query = [piece for start in at for piece in pieces[start : start + each]]
        keys, values = ([pieces[start + each + more] for start in at] for more in (0, 1))
        return [np.concatenate(side, axis) for side in (query, keys, values)]
    raise ValueError("fused_qkv is of query, key, value -> one, or of one -> query, key, value")


def _axis(statement: Statement, otherwise: int) -> int:
    return int(statement.attributes.get("axis", otherwise))


def _wrong(text: str, reason: str) -> UsageError:
    told = text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
    return UsageError(f"AOA statement {told!r}: {reason}")
