"""Statements of repeated layers as one: `$LAYER_ID` for the number of a layer, `*` for all numbers.

What stands for several statements stands for exactly these: a placeholder takes every number that
the checkpoint has in its place, so a statement is folded only where that is every number there is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from padiff_graph.export.aoa_language import STAR, starred

__all__ = ["folded"]

LAYER = "$LAYER_ID"
NUMBERED = re.compile(r"(?<=\.)\d+(?=\.)")
TURNED = "^T"


@dataclass(frozen=True)
class _Layered:
    """A statement with the number of its layer taken out.

    Attributes:
        text: with a placeholder in every name.
        number: of the layer.
        source: the first name, with the placeholder.
    """

    text: str
    number: int
    source: str


def folded(
    statements: Sequence[str], sources: Collection[str], targets: Collection[str]
) -> tuple[str, ...]:
    """The same statements, those of repeated layers as one.

    Args:
        statements: each "names -> names" with attributes behind, names in full.
        sources: every name in the checkpoint.
        targets: every parameter of the model.
    """
    said = [_starred(text, sources, targets) for text in statements]
    layered = [_layered(text, sources) for text in said]
    numbers: dict[str, set[int]] = {}
    for entry in layered:
        if entry is not None:
            numbers.setdefault(entry.text, set()).add(entry.number)

    def whole(entry: _Layered) -> bool:
        known = numbers[entry.text]
        return len(known) > 1 and known == _there(entry.source, sources)

    return tuple(
        dict.fromkeys(
            entry.text if entry is not None and whole(entry) else text
            for text, entry in zip(said, layered, strict=True)
        )
    )


def _sides(text: str) -> tuple[list[str], list[str], str]:
    """Names on the left and on the right, and the attributes behind them."""
    left, _, rest = text.partition(" -> ")
    words = rest.split(", ")
    count = next((at for at, word in enumerate(words) if " = " in word), len(words))
    return left.split(", "), words[:count], ", ".join(["", *words[count:]])


def _joined(left: Iterable[str], right: Iterable[str], behind: str) -> str:
    return f"{', '.join(left)} -> {', '.join(right)}{behind}"


def _starred(text: str, sources: Collection[str], targets: Collection[str]) -> str:
    """The statement with a list of all numbers as one name."""
    left, right, behind = _sides(text)
    return _joined(_all_numbers(left, sources), _all_numbers(right, targets), behind)


def _all_numbers(names: list[str], known: Collection[str]) -> list[str]:
    """One name with a star where that stands for just these names, in their order."""
    if len(names) < 2:
        return names
    for number in NUMBERED.finditer(names[0]):
        pattern = f"{names[0][: number.start()]}{STAR}{names[0][number.end() :]}"
        if starred(pattern, known) == names:
            return [pattern]
    return names


def _layered(text: str, sources: Collection[str]) -> _Layered | None:
    """The statement without the first number of its names, which is the same in all of them."""
    left, right, behind = _sides(text)
    if any(name.removesuffix(TURNED) not in sources and STAR not in name for name in left):
        return None  # placeholders are filled from the checkpoint, not from what statements make
    found = [NUMBERED.search(name) for name in (*left, *right)]
    numbers = {match[0] for match in found if match}
    if None in found or len(numbers) != 1:
        return None
    (number,) = numbers
    names = [NUMBERED.sub(LAYER, name, count=1) for name in (*left, *right)]
    if str(int(number)) != number or STAR in names[0]:
        return None  # the first name is what numbers are looked for by
    text = _joined(names[: len(left)], names[len(left) :], behind)
    return _Layered(text, int(number), names[0].removesuffix(TURNED))


def _there(pattern: str, sources: Iterable[str]) -> set[int]:
    """Every number that the checkpoint has in a pattern's place."""
    before, behind = (re.escape(part) for part in pattern.split(LAYER))
    matches = (re.fullmatch(rf"{before}(\d+){behind}", name) for name in sources)
    return {int(match[1]) for match in matches if match}
