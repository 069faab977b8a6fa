"""One model's parameters, their shapes and what reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from padiff_graph.capture.graph import ParameterInfo
from padiff_graph.capture.normal.form import Edge, NormalGraph, NormalNode

__all__ = ["ParameterReader", "ParameterReaders"]

ParameterReader = tuple[NormalNode | None, int, Edge]
"""(node, operand position, edge) that reads a parameter; no node for an output of the model or an
update."""


@dataclass(frozen=True)
class ParameterReaders:
    """One model's parameters.

    Attributes:
        infos: by first name.
        first_name: of every name.
        readers: by first name, what reads the parameter.
    """

    infos: Mapping[str, ParameterInfo]
    first_name: Mapping[str, str]
    readers: Mapping[str, Sequence[ParameterReader]]

    @classmethod
    def in_graph(cls, normal: NormalGraph) -> ParameterReaders:
        """Those of a normal form."""
        infos = normal.graph.parameters
        names = {alias: name for name, info in infos.items() for alias in (name, *info.aliases)}
        parameters = (node for node in normal.nodes if node.op == "Parameter")
        owners = {node.id: names.get(node.name, node.name) for node in parameters}
        readers: dict[str, list[ParameterReader]] = defaultdict(list)
        for node in normal.nodes:
            for position, edge in enumerate(node.inputs):
                if edge is not None and edge.source in owners:
                    readers[owners[edge.source]].append((node, position, edge))
        for edge in (*normal.outputs.values(), *normal.updates.values()):
            if edge.source in owners:
                readers[owners[edge.source]].append((None, 0, edge))
        return cls(infos, names, readers)

    def of(self, name: str) -> Sequence[ParameterReader]:
        """What reads a parameter, by its first name."""
        return self.readers.get(name, ())

    @cached_property
    def complex(self) -> Collection[str]:
        """First names of the parameters that hold complex numbers."""
        infos = self.infos.items()
        return {name for name, info in infos if info.type.dtype.startswith("complex")}

    def shape(self, name: str) -> tuple[int, ...]:
        """A parameter's shape, by its first name."""
        return self.infos[name].type.shape
