"""YAML from others as plain data: no aliases, no tags, nothing deep, no key twice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from padiff_graph.errors import UsageError

__all__ = ["plain_yaml"]

DEEPEST = 12
"""Levels of a file at most; a map has 7 (a table in the steps of a piece), chosen to leave room."""
KINDS = ("map", "seq", "str", "int", "float", "bool", "null")
"""What a map is made of. Dates, sets and binary data are not."""


class _Refused(yaml.YAMLError):
    """What YAML allows and a map may not hold."""


class _Loader(yaml.SafeLoader):
    """A safe loader that also bounds what a short text can become."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node; refuses what would be shared or deep."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        place = f"line {event.start_mark.line + 1}"
        if self.check_event(yaml.AliasEvent):
            raise _Refused(f"{place}: an alias (*{event.anchor}); write the value itself")
        if self.depth >= DEEPEST:
            raise _Refused(f"{place}: nested more than {DEEPEST} levels deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        kind = "null" if node is None else node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in KINDS:
            raise _Refused(f"{place}: a value of kind {kind}; put text in quotes")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, of which no key stands twice."""
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise _Refused(f"line {node.start_mark.line + 1}: an entry stands twice")
        return mapping


def plain_yaml(text: str, where: str) -> Mapping[str, Any]:
    """The mapping that a text holds.

    Raises:
        UsageError: it is no YAML, no mapping, or holds what a map may not.
    """
    try:
        content = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a number of too many digits
        raise UsageError(f"{where} is no YAML that a map can be: {error}") from None
    if content is None:
        raise UsageError(f"{where} is empty: expected a mapping with modules and parameters")
    if not isinstance(content, Mapping):
        raise UsageError(
            f"{where}: expected a mapping with modules and parameters, "
            f"found {type(content).__name__}"
        )
    return content
