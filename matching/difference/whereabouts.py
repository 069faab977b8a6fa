"""Where an operation that one side lacks would stand there: the module path of its place."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from padiff_graph.capture.normal.form import NormalGraph, NormalNode

__all__ = ["Whereabouts", "common_path", "place_of"]


def common_path(paths: Iterable[str]) -> str:
    """The innermost module around all of these."""
    common: list[str] | None = None
    for path in paths:
        parts = _names_in(path)
        if common is None:
            common = parts
            continue
        while common != parts[: len(common)]:
            common.pop()
    return ".".join(common or [])


def place_of(graph: NormalGraph, nodes: Iterable[int]) -> str:
    """The innermost module around operations; around those of them with weights, where some have: a
    layer is where its weights are, whoever calls the activation behind it."""
    held = [graph.nodes[node] for node in nodes]
    weighted = [node for node in held if _reads_weights(graph, node)]
    return common_path(node.path for node in weighted or held)


def _reads_weights(graph: NormalGraph, node: NormalNode) -> bool:
    sources = (graph.nodes[edge.source] for edge in node.inputs if edge is not None)
    return any(source.op == "Parameter" for source in sources)


def _word(path: str) -> str:
    """A module's own name."""
    return path.rpartition(".")[2]


def _names_in(path: str) -> list[str]:
    """The names of a module and of those around it; none for the root."""
    return path.split(".") if path else []


def _around_all(path: str) -> list[str]:
    """A module and all modules around it, the root included."""
    parts = path.split(".")
    return [".".join(parts[:depth]) for depth in range(len(parts) + 1)]


def _live(graph: NormalGraph) -> set[str]:
    """Module paths of the operations that the normal form stands for: what nothing reads is left
    out."""
    edges = [edge for node in graph.nodes for edge in node.inputs if edge is not None]
    natives = {native for node in graph.nodes for native in node.native}
    natives.update(
        native
        for edge in (*edges, *graph.outputs.values(), *graph.updates.values())
        for native in edge.through
    )
    records = map(graph.graph.record, natives)
    return {record.path for record in records if record.kind == "operation"} | {
        node.path for node in graph.nodes if not node.leaf
    }


def _idle_modules(graph: NormalGraph) -> list[str]:
    """The outermost modules that contribute no operation."""
    contributing = {around for path in _live(graph) for around in _around_all(path)}
    idle = {path for path in graph.graph.modules if path and path not in contributing}
    return [
        path for path in graph.graph.modules if path in idle and path.rpartition(".")[0] not in idle
    ]


class Whereabouts:
    """Finds module paths on the side that lacks something; `partner` maps nodes of `having` to
    `lacking`."""

    def __init__(self, having: NormalGraph, lacking: NormalGraph, partner: dict[int, int]) -> None:
        self.having = having
        self.lacking = lacking
        self._under: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._taken: set[str] = set()
        self._names: dict[str, Counter[str]] = defaultdict(Counter)
        for node, counterpart in partner.items():
            if not having.nodes[node].leaf:
                self._learn(having.nodes[node].path, lacking.nodes[counterpart].path)
        self._idle = _idle_modules(lacking)
        self._held = {path.rpartition(".")[0] for path in lacking.graph.modules}

    def _learn(self, path: str, counterpart: str) -> None:
        """Takes up that an operation of one path is the counterpart of one of another."""
        self._taken.update(_around_all(counterpart))
        names = zip(reversed(path.split(".")), reversed(counterpart.split(".")), strict=False)
        for name, usual in names:
            self._names[name][usual] += 1
        for around in _around_all(path):
            self._under[around].append((path, counterpart))

    def path_for(self, nodes: Iterable[int]) -> str:
        """The place of these nodes of the side that has them.

        A module that contributes no operation, such as an Identity in the place, or a block whose
        result is not used; otherwise the module around the partners of what stands in the same
        module.
        """
        paths = list(dict.fromkeys(self.having.nodes[node].path for node in nodes))
        path = common_path(paths)
        around = self._around(path)
        place = self._idle_place(path, around)
        if place is None and len(paths) > 1:
            # what one module did on this side, a norm with its activation, may be several on the
            # other
            apart = {self._idle_place(part, self._around(part)) for part in paths} - {None}
            place = apart.pop() if len(apart) == 1 else None
        return around if place is None else place

    def _idle_place(self, path: str, around: str) -> str | None:
        """The module inside `around` that does nothing and stands where the other side's `path`
        does; None where none does."""
        if path in self._under:
            return None
        if path in self.lacking.graph.modules and path not in self._taken:
            return path  # of the same name, and nothing in it is the counterpart of anything
        for fitting in self._idle_candidates(_word(path), around):
            if len(fitting) == 1:
                return fitting[0]
        # what is left of a block whose result is not used
        named = f"{around}.{_word(path)}" if around else _word(path)
        if named in self.lacking.graph.modules and named not in self._taken:
            return named
        return None

    def _idle_candidates(self, word: str, around: str) -> Iterator[list[str]]:
        """Idle modules inside `around` that may be the one called `word`, the surest sign first:
        of an Identity its name, as other blocks call it, that it holds modules."""
        inside = [idle for idle in self._idle if not around or idle.startswith(around + ".")]
        empty = [idle for idle in inside if self.lacking.graph.modules[idle] == "Identity"]
        usual = {name for name, _ in self._names[word].most_common(1)}
        usually_called = [idle for idle in inside if _word(idle) in usual]
        yield [idle for idle in empty if _word(idle) == word]
        yield [idle for idle in empty if _word(idle) in usual]
        yield [idle for idle in usually_called if idle in self._held]
        yield empty
        yield [idle for idle in inside if _word(idle) == word]
        yield usually_called
        yield [idle for idle in inside if idle in self._held]

    def _around(self, path: str) -> str:
        """The module of the other side that holds the partners of what stands in the nearest
        module.

        Where all of that stands in one part of the module, the partners do too: the module itself
        is around that part.
        """
        while True:
            partners = self._under.get(path)
            if partners:
                own = common_path(path for path, _ in partners)
                parts = _names_in(common_path(counterpart for _, counterpart in partners))
                deeper = len(_names_in(own)) - len(_names_in(path))
                return ".".join(parts[: max(len(parts) - deeper, 0)])
            if not path:
                return ""
            path = path.rpartition(".")[0]
