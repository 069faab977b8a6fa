"""Recurrent cells written out with a Linear for each gate, against the library's, which keeps the
gates one behind the other in one tensor.

Which Linears are one gate's, and which of its two reads the state, the computation tells: both go
into the same squashing, and what reads the state depends on itself. A gate that goes through a
hyperbolic tangent is the candidate. Which of the others is which is left to whoever runs the
models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.matching.parameters.names import template
from padiff_graph.matching.parameters.transform_words import describe
from padiff_graph.matching.result import Matching, ParameterRow, Piece

__all__ = ["gate_rows"]

CONFIDENCE = 0.6
"""Of a row that nothing has proved."""
REASON = "the gates of a cell, apart on one side and together on the other"
LETTERS = {"LSTM": "ifgo", "GRU": "rzn"}
"""The gates in the order in which both frameworks keep them, by their usual names."""
CANDIDATE = {"LSTM": 2, "GRU": 2}
"""Where among them stands the one that goes through a hyperbolic tangent."""
SQUASHING = frozenset({"Sigmoid", "Tanh"})

Sides = tuple[int, int]


@dataclass(frozen=True)
class _Tensor:
    """What a Linear reads of a parameter: by name, its elements [out, in], or [out] of a bias."""

    name: str
    view: View


@dataclass(frozen=True)
class _Product:
    """A Linear's weight and bias, and whether it reads what it has computed before."""

    weight: _Tensor
    bias: _Tensor | None
    source: int
    recurrent: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """[out, in]."""
        return self.weight.view.shape


@dataclass(frozen=True)
class _Gate:
    """The two products of one gate, and whether it is the candidate."""

    of_input: _Product
    of_state: _Product
    candidate: bool


@dataclass(frozen=True)
class _Fused:
    """The library's tensors of one cell: of the input and of the state; biases may be missing."""

    op: str
    weights: tuple[str, str]
    biases: tuple[str, str] | None


def gate_rows(matching: Matching, names: Collection[str]) -> list[list[tuple[ParameterRow, ...]]]:
    """For each kind of cell that is written out on one side the rows of all such cells, one answer
    for each order of gates, likeliest names first.

    Args:
        matching: with rows so far.
        names: of the first model's parameters that may be asked about.
    """
    left = set(names), set(matching.unused_second)
    normals = matching.first, matching.second
    asked = []
    for split in (0, 1):
        written = _cells(normals[split], left[split])
        fused = list(_fused(normals[1 - split], left[1 - split]))
        for op, letters in LETTERS.items():
            ours = [cell for cell in written if len(cell) == len(letters)]
            theirs = [cell for cell in fused if cell.op == op]
            if ours and len(ours) == len(theirs):
                answers = list(_answers(ours, theirs, split, matching))
                if answers:
                    asked.append(answers)
    return asked


# -- cells that are written out


def _cells(normal: NormalGraph, names: Collection[str]) -> list[list[_Gate]]:
    """The gates of each cell in the order of the program."""
    readers = _readers(normal)
    by_squashing: dict[int, list[_Product]] = defaultdict(list)
    for at, product in _products(normal, names, readers):
        by_squashing[at].append(product)
    cells: dict[int, list[_Gate]] = defaultdict(list)
    for at, products in by_squashing.items():
        gate = _gate(products, normal.nodes[at].op == "Tanh")
        if gate is not None:
            cells[gate.of_state.source].append(gate)
    told = [gates for gates in cells.values() if sum(gate.candidate for gate in gates) == 1]
    return sorted(told, key=lambda gates: gates[0].of_state.source)


def _readers(normal: NormalGraph) -> dict[int, list[int]]:
    readers: dict[int, list[int]] = defaultdict(list)
    for node in normal.nodes:
        for edge in node.inputs:
            if edge is not None:
                readers[edge.source].append(node.id)
    return readers


def _products(
    normal: NormalGraph, names: Collection[str], readers: Mapping[int, Sequence[int]]
) -> Iterator[tuple[int, _Product]]:
    """The Linears of these weights, each once, with the last squashing that they reach."""
    linears: dict[tuple[str, View], list[NormalNode]] = defaultdict(list)
    for node in normal.nodes:
        weight = _tensor(normal, node, 1, names) if node.op == "Linear" else None
        if weight is not None and len(weight.view.shape) == 2:
            linears[weight.name, weight.view].append(node)
    for (name, view), nodes in linears.items():
        reached = {at for node in nodes for at in _squashings(normal, node.id, readers)}
        source = nodes[-1].inputs[0]
        if not reached or source is None:
            continue
        own = {node.id for node in nodes}
        recurrent = not own.isdisjoint(_above(normal, source.source))
        bias = _tensor(normal, nodes[-1], 2, names)
        turned = _Tensor(name, view.transpose((1, 0)))
        yield max(reached), _Product(turned, bias, source.source, recurrent)


def _tensor(
    normal: NormalGraph, node: NormalNode, position: int, names: Collection[str]
) -> _Tensor | None:
    """The parameter that an operand is, as it is read; None where it is no whole one of these."""
    edge = node.inputs[position] if position < len(node.inputs) else None
    if edge is None or edge.view is None or (edge.scale, edge.shift) != (1.0, 0.0):
        return None
    owner = normal.nodes[edge.source]
    if owner.op != "Parameter" or owner.name not in names or not edge.view.permutation:
        return None
    return _Tensor(owner.name, edge.view)


def _squashings(normal: NormalGraph, start: int, readers: Mapping[int, Sequence[int]]) -> set[int]:
    """The squashings that a value reaches before any other."""
    reached: set[int] = set()
    seen, waiting = {start}, [start]
    while waiting:
        for at in readers.get(waiting.pop(), ()):
            if at in seen:
                continue
            seen.add(at)
            if normal.nodes[at].op in SQUASHING:
                reached.add(at)
            else:
                waiting.append(at)
    return reached


def _above(normal: NormalGraph, start: int) -> set[int]:
    seen, waiting = {start}, [start]
    while waiting:
        for edge in normal.nodes[waiting.pop()].inputs:
            if edge is not None and edge.source not in seen:
                seen.add(edge.source)
                waiting.append(edge.source)
    return seen


def _gate(products: Sequence[_Product], candidate: bool) -> _Gate | None:
    """The gate of two products of which one reads the state."""
    state = [product for product in products if product.recurrent]
    given = [product for product in products if not product.recurrent]
    if len(state) != 1 or len(given) != 1 or state[0].shape[0] != given[0].shape[0]:
        return None
    return _Gate(given[0], state[0], candidate)


# -- the library's cells


def _fused(normal: NormalGraph, names: Collection[str]) -> Iterator[_Fused]:
    """The cells of the library's layers, in the order of layers and directions."""
    infos = normal.graph.parameters
    for node in normal.nodes:
        if node.op not in LETTERS:
            continue
        owners = [normal.nodes[edge.source] for edge in node.inputs if edge is not None]
        held = [owner.name for owner in owners if owner.op == "Parameter" and owner.name in names]
        weights = [name for name in held if len(infos[name].type.shape) == 2]
        biases = [name for name in held if len(infos[name].type.shape) == 1]
        if len(weights) % 2 or (biases and len(biases) != len(weights)):
            continue
        for at in range(0, len(weights), 2):
            pair = (biases[at], biases[at + 1]) if biases else None
            yield _Fused(node.op, (weights[at], weights[at + 1]), pair)


# -- answers


def _answers(
    cells: Sequence[Sequence[_Gate]], fused: Sequence[_Fused], split: int, matching: Matching
) -> Iterator[tuple[ParameterRow, ...]]:
    """The rows of all cells under each order of gates."""
    op = fused[0].op
    letters, last = LETTERS[op], CANDIDATE[op]
    free = [place for place in range(len(letters)) if place != last]
    ordered = [_likeliest(cell, letters, free) for cell in cells]
    for order in permutations(range(len(free))):
        rows: list[ParameterRow] = []
        for cell, likely, together in zip(cells, ordered, fused, strict=True):
            placed = {free[at]: likely[number] for number, at in enumerate(order)}
            placed[last] = next(gate for gate in cell if gate.candidate)
            made = _of_cell([placed[at] for at in range(len(letters))], together, split, matching)
            if made is None:
                return
            rows += made
        yield tuple(rows)


def _likeliest(cell: Sequence[_Gate], letters: str, free: Sequence[int]) -> list[_Gate]:
    """The gates but the candidate, in the order that their names suggest, else the program's."""
    gates = [gate for gate in cell if not gate.candidate]
    return list(
        max(
            permutations(gates),
            key=lambda order: sum(
                _named(gate, letters[place]) for gate, place in zip(order, free, strict=True)
            ),
        )
    )


def _named(gate: _Gate, letter: str) -> int:
    """How many of a gate's names bear its letter where names of gates do: at either end of the
    module's name."""
    names = (template(gate.of_input.weight.name), template(gate.of_state.weight.name))
    modules = [name.removesuffix(".weight").rpartition(".")[2] for name in names]
    return sum(module.endswith(letter) or module.startswith(letter) for module in modules)


def _of_cell(
    gates: Sequence[_Gate], fused: _Fused, split: int, matching: Matching
) -> list[ParameterRow] | None:
    """The rows of one cell; None where its tensors do not fit."""
    infos = (matching.first, matching.second)[1 - split].graph.parameters
    products = [gate.of_input for gate in gates], [gate.of_state for gate in gates]
    pairs: list[tuple[list[_Tensor], str]] = []
    for own, weight in zip(products, fused.weights, strict=True):
        pairs.append(([product.weight for product in own], weight))
    for own, bias in zip(products, fused.biases or (), strict=False):
        held = [product.bias for product in own if product.bias is not None]
        if len(held) == len(own):
            pairs.append((held, bias))
    rows: list[ParameterRow] = []
    for tensors, name in pairs:
        shape = tuple(infos[name].type.shape)
        part = tensors[0].view.shape
        if shape != (len(tensors) * part[0], *part[1:]):
            return None
        if any(tensor.view.shape != part for tensor in tensors):
            return None
        rows += _of_tensors(tensors, name, split, matching)
    return rows


def _of_tensors(
    tensors: Sequence[_Tensor], fused: str, split: int, matching: Matching
) -> Iterator[ParameterRow]:
    """The rows of the gates' tensors that stand one behind the other in another."""
    size = tensors[0].view.shape[0]
    infos = matching.first.graph.parameters, matching.second.graph.parameters
    whole = View.of(infos[1 - split][fused].type.shape)
    places = [whole.slice(0, at * size, (at + 1) * size) for at in range(len(tensors))]
    pairs = list(zip(tensors, places, strict=True))
    if split:
        pieces = tuple(Piece(tensor.name, place, tensor.view) for tensor, place in pairs)
        yield _row(fused, pieces, matching)
        return
    for tensor, place in pairs:
        # both views have the same shape; read back in the order of the parameter itself
        back = tensor.view.inverse(tuple(infos[0][tensor.name].type.shape))
        if back is not None:
            own = View.of(infos[0][tensor.name].type.shape)
            yield _row(tensor.name, (Piece(fused, own, place.then(back)),), matching)


def _row(name: str, pieces: tuple[Piece, ...], matching: Matching) -> ParameterRow:
    infos = matching.first.graph.parameters, matching.second.graph.parameters
    shape = tuple(infos[0][name].type.shape)
    seconds = {piece.second: tuple(infos[1][piece.second].type.shape) for piece in pieces}
    return ParameterRow(name, pieces, describe(pieces, shape, seconds), CONFIDENCE, REASON)
