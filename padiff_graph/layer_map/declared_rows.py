"""Pairs of modules that a user declared and whose results are read in different places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from padiff_graph.alignment.correspondence import inside
from padiff_graph.capture.normal.form import NormalGraph, NormalNode
from padiff_graph.findings.cause import Cause
from padiff_graph.matching.result import Matching

__all__ = ["declared_rows"]


def declared_rows(matching: Matching, rows: tuple[tuple[str, str], ...]) -> list[Cause]:
    """Rows of the user where what one module yields is read by matched operations, and none of
    their partners reads what the other module yields.

    What lies in a declared pair matches nothing outside of it, so that its readers have to tell.
    """
    if not rows:
        return []
    normals = matching.first, matching.second
    partners: tuple[dict[int, int], dict[int, int]] = {}, {}
    for match in matching.matches:
        partners[0][match.first] = match.second
        partners[1][match.second] = match.first
    causes = []
    for row in rows:
        for side in (0, 1):
            theirs = _Readers(normals[1 - side], partners[1 - side], row[1 - side])
            read = theirs.instead(_readers(normals[side], row[side], partners[side]))
            if read:
                facts = {"first_path": row[0], "second_path": row[1]}
                where = {"side": side, "path": row[side], "read": read}
                causes.append(Cause.of("map.module_given", **facts, **where))
                break
    return causes


def _readers(normal: NormalGraph, module: str, partners: Mapping[int, int]) -> list[int]:
    """The partners of the operations outside of a module that read what it yields."""
    nodes = normal.nodes
    yields = {node.id for node in nodes if not node.leaf and inside(node.path, module)}
    return [
        partners[node.id]
        for node in nodes
        if node.id in partners
        and node.id not in yields
        and any(edge is not None and edge.source in yields for edge in node.inputs)
    ]


@dataclass(frozen=True)
class _Readers:
    """Operations of one model, asked whether they read what a module yields."""

    normal: NormalGraph
    partners: Mapping[int, int]
    module: str

    def instead(self, readers: list[int]) -> tuple[str, ...]:
        """The modules that these read from where none of them reads the one asked for."""
        read = [node for reader in readers for node in self._sources(reader)]
        if any(inside(node.path, self.module) for node in read):
            return ()
        return tuple(dict.fromkeys(node.path for node in read if node.path))

    def _sources(self, reader: int) -> list[NormalNode]:
        """What an operation reads, and what that was made of as long as nothing matches: one
        model may make in the pair what the other one makes behind it."""
        seen: set[int] = set()
        waiting = [reader]
        while waiting:
            for edge in self.normal.nodes[waiting.pop()].inputs:
                if edge is None or edge.source in seen or self.normal.nodes[edge.source].leaf:
                    continue
                seen.add(edge.source)
                if edge.source not in self.partners:
                    waiting.append(edge.source)
        return [self.normal.nodes[at] for at in sorted(seen, reverse=True)]
