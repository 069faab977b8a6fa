"""Where an operation that one side lacks would stand there: the module path of its place."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from padiff_graph.capture.normal.form import NormalGraph

__all__ = ["Whereabouts", "common_path"]


def common_path(paths: Iterable[str]) -> str:
    """The innermost module around all of these."""
    common: list[str] | None = None
    for path in paths:
        parts = path.split(".") if path else []
        if common is None:
            common = parts
            continue
        while common != parts[: len(common)]:
            common.pop()
    return ".".join(common or [])


def _word(path: str) -> str:
    """A module's own name."""
    return path.rpartition(".")[2]


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


class Whereabouts:
    """Finds module paths on the side that lacks something; `partner` maps nodes of `having` to
    `lacking`."""

    def __init__(self, having: NormalGraph, lacking: NormalGraph, partner: dict[int, int]) -> None:
        self.having = having
        self.lacking = lacking
        self._under: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._taken: set[str] = set()
        self._names: dict[str, Counter[str]] = defaultdict(Counter)
        for node, other in partner.items():
            if not having.nodes[node].leaf:
                self._taken.update(_around_all(lacking.nodes[other].path))
                for mine, theirs in zip(
                    reversed(having.nodes[node].path.split(".")),
                    reversed(lacking.nodes[other].path.split(".")),
                    strict=False,
                ):
                    self._names[mine][theirs] += 1
                for path in _around_all(having.nodes[node].path):
                    self._under[path].append((having.nodes[node].path, lacking.nodes[other].path))
        contributing: set[str] = set()
        for path in _live(lacking):
            contributing.update(_around_all(path))
        modules = lacking.graph.modules
        idle = {path for path in modules if path and path not in contributing}
        self._idle = [
            path for path in modules if path in idle and path.rpartition(".")[0] not in idle
        ]
        self._held = {path.rpartition(".")[0] for path in modules}

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
            apart = {self._idle_place(one, self._around(one)) for one in paths} - {None}
            place = apart.pop() if len(apart) == 1 else None
        return around if place is None else place

    def _idle_place(self, path: str, around: str) -> str | None:
        """The module inside `around` that does nothing and stands where the other side's `path`
        does; None where none does."""
        if path in self._under:
            return None
        if path in self.lacking.graph.modules and path not in self._taken:
            return path  # of the same name, and nothing in it is the counterpart of anything
        word = _word(path)
        usual = {name for name, _ in self._names[word].most_common(1)}  # as other blocks call it
        inside = [idle for idle in self._idle if not around or idle.startswith(around + ".")]
        empty = [idle for idle in inside if self.lacking.graph.modules[idle] == "Identity"]
        for fits in (
            [idle for idle in empty if _word(idle) == word],
            [idle for idle in empty if _word(idle) in usual],
            [idle for idle in inside if _word(idle) in usual and idle in self._held],
            empty,
            [idle for idle in inside if _word(idle) == word],
            [idle for idle in inside if _word(idle) in usual],
            [idle for idle in inside if idle in self._held],
        ):
            if len(fits) == 1:
                return fits[0]
        # what is left of a block whose result is not used
        named = f"{around}.{word}" if around else word
        return named if named in self.lacking.graph.modules and named not in self._taken else None

    def _around(self, path: str) -> str:
        """The module of the other side that holds the partners of what stands in the nearest
        module.

        Where all of that stands in one part of the module, the partners do too: the module itself
        is around that part.
        """
        while True:
            partners = self._under.get(path)
            if partners:
                mine, theirs = (common_path(pair[side] for pair in partners) for side in (0, 1))
                parts = theirs.split(".") if theirs else []
                deeper = len(mine.split(".") if mine else []) - len(path.split(".") if path else [])
                return ".".join(parts[: max(len(parts) - deeper, 0)])
            if not path:
                return ""
            path = path.rpartition(".")[0]
