"""Names of the leaves of nested inputs and outputs, the same for every framework.

A structure is any nesting of mappings (dicts, ModelOutput), sequences (lists, tuples, deques, named
tuples), dataclasses and plain objects that hold tensors as attributes, private ones and slots
included where there are no public ones. A leaf is named by the way to it, joined with dots:
"batch.mask", "hidden_states.0", "latent_dist.mean".
"""

from __future__ import annotations

import copy
import dataclasses
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = [
    "SINGLE",
    "Fields",
    "Items",
    "Leaf",
    "leaves",
    "output_leaves",
    "replace",
    "settled",
    "tree",
    "values",
]

SINGLE = "output"
"""Name of the leaf where a model returns one tensor and nothing around it."""

IsTensor = Callable[[Any], bool]
OPAQUE = (types.ModuleType, types.GeneratorType)
"""Objects that are not looked into."""
YIELDING: tuple[type[Iterable[Any]], ...] = (
    types.GeneratorType,
    map,
    filter,
    zip,
    type({}.values()),
    type({}.items()),
)
"""Types whose members come when asked, a generator's once only."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    """What stands at one place of a structure: a tensor, or a value that is none.

    Attributes:
        name: the way to it; "output" where a model returns one value and nothing around it.
        value: as it stands there.
    """

    name: str
    value: Any


@dataclasses.dataclass(frozen=True)
class Fields:
    """Members that go by a name: of a mapping, a named tuple, a dataclass, an object."""

    members: Mapping[str, Tree]


@dataclasses.dataclass(frozen=True)
class Items:
    """Members that go by their position: of a tuple, a list, a deque."""

    members: tuple[Tree, ...]


Tree = Leaf | Fields | Items
"""A structure with its containers told apart, its leaves named."""
PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type, range, slice)


def leaves(structure: Any, is_tensor: IsTensor) -> dict[str, Any]:
    """The tensors of a structure by name, in the structure's order.

    Args:
        structure: usually the example, a mapping from argument name to value.
        is_tensor: tells the framework's tensors from everything else.
    """
    return {name: leaf for name, leaf in _named(structure, is_tensor) if is_tensor(leaf)}


def output_leaves(structure: Any, is_tensor: IsTensor) -> dict[str, Any]:
    """The tensors that a model returned by name; a single tensor is called "output"."""
    return {name or SINGLE: leaf for name, leaf in leaves(structure, is_tensor).items()}


def values(structure: Any, is_tensor: IsTensor) -> dict[str, Any]:
    """The leaves that are no tensors (numbers, strings, objects) by name; None is left out."""
    return {
        name: leaf
        for name, leaf in _named(structure, is_tensor)
        if not is_tensor(leaf) and leaf is not None
    }


def replace(structure: Any, is_tensor: IsTensor, tensors: Mapping[str, Any]) -> Any:
    """A copy of a structure with tensors put in by name; the other tensors stay the same.

    Containers and objects are copied, since a forward may change them (a cache grows, an option is
    popped); callables and what cannot be copied stay the same objects.

    Raises:
        KeyError: for a name that no tensor of the structure has.
    """
    known = leaves(structure, is_tensor)
    unknown = set(tensors) - set(known)
    if unknown:
        raise KeyError(f"no leaves named {sorted(unknown)}; the structure has {sorted(known)}")
    names = iter(_named(structure, is_tensor))
    return _rebuilt(structure, is_tensor, names, tensors, ())


def settled(structure: Any) -> Any:
    """A structure that can be read more than once: what yields its members when asked (a generator,
    a view of a dict) is a list of them, inside of plain containers too."""
    if isinstance(structure, YIELDING):
        return [settled(member) for member in structure]
    if type(structure) in (tuple, list) and any(_unsettled(member) for member in structure):
        return type(structure)(settled(member) for member in structure)
    if type(structure) is dict and any(_unsettled(member) for member in structure.values()):
        return {key: settled(member) for key, member in structure.items()}
    return structure


def _unsettled(structure: Any) -> bool:
    if type(structure) in (tuple, list):
        return any(_unsettled(member) for member in structure)
    if type(structure) is dict:
        return any(_unsettled(member) for member in structure.values())
    return isinstance(structure, YIELDING)


def tree(
    structure: Any, is_tensor: IsTensor, instead: Callable[[str, Any], Any] | None = None
) -> Tree:
    """A structure's leaves, those that are no tensors included, in its containers.

    Args:
        structure: what a model returned.
        is_tensor: tells the framework's tensors from everything else.
        instead: what stands for a tensor, from its name and itself; the tensor where None.
    """
    named = _named(structure, is_tensor)
    if instead is not None:
        for number, (name, leaf) in enumerate(named):
            if is_tensor(leaf):
                named[number] = (name, instead(name or SINGLE, leaf))
    return _tree(structure, is_tensor, iter(named), ())


def _tree(
    structure: Any,
    is_tensor: IsTensor,
    names: Iterator[tuple[str, Any]],
    above: tuple[int, ...],
) -> Tree:
    members = _members(structure, is_tensor, above)
    if members is None:
        name, value = next(names)
        return Leaf(name or SINGLE, value)
    inside = (*above, id(structure))
    below = [(name, _tree(member, is_tensor, names, inside)) for name, member in members]
    if _positional(structure):
        return Items(tuple(member for _, member in below))
    return Fields(dict(below))


def _positional(structure: Any) -> bool:
    plain = isinstance(structure, (list, tuple, deque))
    return plain and not hasattr(structure, "_fields")


def _named(structure: Any, is_tensor: IsTensor) -> list[tuple[str, Any]]:
    """All leaves with unique names."""
    named: list[tuple[str, Any]] = []
    taken: set[str] = set()
    for way, leaf in _walk(structure, is_tensor, (), ()):
        name = unique = ".".join(way)
        count = 1
        while unique in taken:
            count += 1
            unique = f"{name}~{count}"
        taken.add(unique)
        named.append((unique, leaf))
    return named


def _walk(
    structure: Any, is_tensor: IsTensor, way: tuple[str, ...], above: tuple[int, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    members = _members(structure, is_tensor, above)
    if members is None:
        yield way, structure
        return
    for name, member in members:
        yield from _walk(member, is_tensor, (*way, name), (*above, id(structure)))


def _members(
    structure: Any, is_tensor: IsTensor, above: tuple[int, ...]
) -> list[tuple[str, Any]] | None:
    """Named members of a container, None for a leaf.

    `above` holds what contains it, against cycles.
    """
    if is_tensor(structure) or isinstance(structure, PLAIN) or id(structure) in above:
        return None
    if isinstance(structure, Mapping):
        return [(str(key), member) for key, member in structure.items()]
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return list(zip(structure._fields, structure, strict=True))
    if isinstance(structure, (list, tuple, deque)):
        return [(str(position), member) for position, member in enumerate(structure)]
    if dataclasses.is_dataclass(structure):
        return [
            (field.name, getattr(structure, field.name, None))
            for field in dataclasses.fields(structure)
        ]
    return _attributes(structure, is_tensor, above)


def _attributes(
    thing: Any, is_tensor: IsTensor, above: tuple[int, ...]
) -> list[tuple[str, Any]] | None:
    """Attributes of an object that holds tensors (a cache), None where it holds none."""
    if callable(thing) or type(thing).__module__ == "builtins" or isinstance(thing, OPAQUE):
        return None
    own = _own_attributes(thing)
    inside = (*above, id(thing))
    public = [(name, member) for name, member in own if not name.startswith("_")]
    private = [(name, member) for name, member in own if name.startswith("_")]
    for members in (public, private):
        if any(_holds(member, is_tensor, inside) for _, member in members):
            return members
    return None


def _own_attributes(thing: Any) -> list[tuple[str, Any]]:
    """An object's attributes, those in slots included."""
    attributes = list(getattr(thing, "__dict__", {}).items())
    for cls in type(thing).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        if isinstance(slots, str):
            slots = (slots,)
        for slot in slots:
            if slot not in ("__dict__", "__weakref__") and hasattr(thing, slot):
                attributes.append((slot, getattr(thing, slot)))
    return attributes


def _holds(member: Any, is_tensor: IsTensor, above: tuple[int, ...]) -> bool:
    return any(is_tensor(leaf) for _, leaf in _walk(member, is_tensor, (), above))


def _rebuilt(
    structure: Any,
    is_tensor: IsTensor,
    names: Iterator[tuple[str, Any]],
    tensors: Mapping[str, Any],
    above: tuple[int, ...],
) -> Any:
    members = _members(structure, is_tensor, above)
    if members is None:
        name, _ = next(names)
        if is_tensor(structure):
            return tensors.get(name, structure)
        return _own(structure)
    inside = (*above, id(structure))
    fresh = [_rebuilt(member, is_tensor, names, tensors, inside) for _, member in members]
    return _refilled(structure, [name for name, _ in members], fresh)


def _refilled(structure: Any, attributes: list[str], fresh: list[Any]) -> Any:
    """A copy of a container with other members, in their order."""
    if isinstance(structure, tuple):
        if hasattr(structure, "_fields"):
            return type(structure)(*fresh)
        return type(structure)(fresh)
    copied: Any = copy.copy(structure)
    if isinstance(structure, Mapping):
        for key, member in zip(structure, fresh, strict=True):
            copied[key] = member
    elif isinstance(structure, (list, deque)):
        copied.clear()
        copied.extend(fresh)
    else:
        for name, member in zip(attributes, fresh, strict=True):
            object.__setattr__(copied, name, member)
    return copied


def _own(thing: Any) -> Any:
    """A copy of an object that a forward could change; itself where there is no need or no way."""
    if isinstance(thing, PLAIN) or callable(thing) or not hasattr(thing, "__dict__"):
        return thing
    try:
        return copy.deepcopy(thing)
    except (TypeError, NotImplementedError, RuntimeError, copy.Error):
        return thing  # locks, handles, views on foreign memory
