"""Which call of which layer made an operation: calls open and close like brackets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LayerCalls", "Span"]


@dataclass
class Span:
    """One call of a layer: the operations after `first` up to and including `last` (operation
    ids)."""

    path: str
    call: int
    first: int | None
    layer: Any
    last: int | None = None


@dataclass
class LayerCalls:
    """The calls of layers during one recording.

    Attributes:
        program: the program under construction.
        paths: dotted path of each sublayer by id.
        spans: the calls so far, in the order in which they began.
    """

    program: Any
    paths: Mapping[int, str]
    spans: list[Span] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _open: list[Span] = field(default_factory=list)

    def newest(self) -> int | None:
        """Id of the newest operation."""
        block = self.program.global_block()
        return None if block.empty() else int(block.back().id())

    def path_of(self, layer: Any) -> str | None:
        """Dotted path of a layer; None where the model does not list it and no list or dict holds
        it."""
        path = self.paths.get(id(layer))
        if path is None and self._open:
            return _held_path(self._open[-1], layer)
        return path

    @contextmanager
    def span(self, path: str, layer: Any) -> Iterator[None]:
        """Operations made inside belong to one call of the layer at `path`."""
        call = self._counts.get(path, 0)
        self._counts[path] = call + 1
        span = Span(path, call, self.newest(), layer)
        self.spans.append(span)
        self._open.append(span)
        try:
            yield
        finally:
            self._open.pop()
            span.last = self.newest()

    def place(self) -> tuple[str, int]:
        """Path and call of the layer that is running."""
        if not self._open:
            return "", 0
        return self._open[-1].path, self._open[-1].call

    def places(self, operations: Iterable[int]) -> dict[int, tuple[str, int]]:
        """Path and call of the innermost layer that made each operation; a missing key is the
        model.

        Args:
            operations: operation ids in program order.
        """
        order = list(operations)
        position = {operation: number for number, operation in enumerate(order)}
        begins: dict[int, list[Span]] = {}
        for span in self.spans:
            first, last = extent(position, span.first, span.last)
            if last >= first:
                begins.setdefault(first, []).append(span)
        places: dict[int, tuple[str, int]] = {}
        within: list[Span] = []
        for number, operation in enumerate(order):
            while within and extent(position, None, within[-1].last)[1] < number:
                within.pop()
            within += begins.get(number, ())
            if within:
                places[operation] = within[-1].path, within[-1].call
        return places


def extent(position: Mapping[int, int], first: int | None, last: int | None) -> tuple[int, int]:
    """Positions of the first and the last operation of a stretch that begins behind `first`."""
    begin = 0 if first is None else position[first] + 1
    end = -1 if last is None else position[last]
    return begin, end


def _held_path(owner: Span, layer: Any) -> str | None:
    """The path of a layer that another one holds in an attribute, a list or a dict."""
    for name, held in vars(owner.layer).items():
        if name.startswith("_"):
            continue
        for key, member in _members(held):
            if member is layer:
                return ".".join(part for part in (owner.path, name, key) if part)
    return None


def _members(held: Any) -> Iterator[tuple[str, Any]]:
    """What an attribute holds, by key; "" for the attribute itself."""
    if isinstance(held, dict):
        yield from ((str(key), member) for key, member in held.items())
    elif isinstance(held, (list, tuple)):
        yield from ((str(number), member) for number, member in enumerate(held))
    else:
        yield "", held
