"""The Python state of a model: attributes, lists, dicts, objects with caches; as found, and put
back.

A forward may count its calls, keep a cache or write into an array. What a model holds is walked
once, each holder's members are noted and arrays are copied; afterwards it can be said what a run
changed, and everything can be put back where it was. Tensors are a framework's own: it says how
they are copied.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

__all__ = ["Change", "PythonState", "TensorCopies"]

PLAIN = (str, bytes, int, float, complex, bool, type(None), type, range, slice, np.generic)
"""Values that cannot change."""
OPAQUE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
"""What holds no state of the model's own."""
SEQUENCES = (list, deque)
MISSING = object()
"""Stands for a member that a holder has not."""


class TensorCopies(Protocol):
    """What a framework says of its tensors, so that their numbers are kept too."""

    def is_tensor(self, value: object) -> bool:
        """Whether a value is a tensor of this framework."""
        ...

    def copied(self, tensor: Any) -> Any:
        """The tensor's numbers, to compare and to put back; None where it holds none."""
        ...

    def unchanged(self, tensor: Any, numbers: Any) -> bool:
        """Whether the tensor still holds these numbers."""
        ...

    def put_back(self, tensor: Any, numbers: Any) -> None:
        """Writes the numbers into the tensor, in place."""
        ...


@dataclass(frozen=True)
class Change:
    """One member of the model's Python state that a run left otherwise than it found it.

    Attributes:
        owner: dotted path of the module that holds it.
        name: the way to it inside the module: "count", "cache.keys.0".
        before, after: its values; `None` stands for a member that was not there.
    """

    owner: str
    name: str
    before: Any
    after: Any


@dataclass
class _Held:
    """One holder as it was found."""

    owner: str
    name: str
    holder: Any
    members: Mapping[Any, Any]
    reported: bool


@dataclass
class PythonState:
    """A model's Python state as it is now.

    Args:
        modules: (dotted path, module), each module once.
        tensors: the framework's word on tensors.
        own: names of attributes that the framework itself keeps in every module (hooks, the tables
            of parameters and submodules): they are put back too, and never reported as a change.
    """

    modules: Iterable[tuple[str, Any]]
    tensors: TensorCopies
    own: frozenset[str] = frozenset()
    _held: list[_Held] = field(default_factory=list, init=False)
    _arrays: list[tuple[str, str, Any, Any]] = field(default_factory=list, init=False)
    _copies: list[tuple[str, str, Any, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        modules = list(self.modules)
        seen = {id(module) for _, module in modules}
        for path, module in modules:
            members = dict(vars(module))
            self._held.append(_Held(path, "", module, members, True))
            for name, member in members.items():
                self._walk(path, name, member, seen, name not in self.own)

    def _walk(self, owner: str, name: str, start: Any, seen: set[int], reported: bool) -> None:
        todo: list[tuple[str, Any]] = [(name, start)]
        while todo:
            way, thing = todo.pop()
            if isinstance(thing, (*PLAIN, *OPAQUE)) or id(thing) in seen:
                continue
            seen.add(id(thing))
            if self.tensors.is_tensor(thing):
                if reported:
                    self._copies.append((owner, way, thing, self.tensors.copied(thing)))
                continue
            if isinstance(thing, (np.ndarray, bytearray)):
                self._arrays.append((owner, way, thing, thing.copy()))
                continue
            members = _members(thing)
            if members is None:
                continue
            if not isinstance(thing, (tuple, frozenset)):
                self._held.append(_Held(owner, way, thing, members, reported))
            todo += [(f"{way}.{key}", member) for key, member in members.items()]

    def changed(self) -> Iterator[Change]:
        """Everything that is not as it was found; the framework's own attributes left out."""
        for held in self._held:
            if held.reported:
                yield from self._changed_members(held)
        for owner, name, array, before in self._arrays:
            if not _equal_arrays(array, before):
                yield Change(owner, name, before, array)
        for owner, name, tensor, numbers in self._copies:
            if numbers is not None and not self.tensors.unchanged(tensor, numbers):
                yield Change(owner, name, numbers, tensor)

    def _changed_members(self, held: _Held) -> Iterator[Change]:
        now = _members(held.holder) or {}
        for key in {**held.members, **now}:
            if not held.name and key in self.own:
                continue
            before, after = held.members.get(key, MISSING), now.get(key, MISSING)
            if before is after or _same_plain(before, after):
                continue
            name = f"{held.name}.{key}" if held.name else str(key)
            yield Change(held.owner, name, _shown(before), _shown(after))

    def restore(self) -> None:
        """Puts every member and every number back where it was found."""
        for held in self._held:
            _put_back(held.holder, held.members)
        for _, _, array, before in self._arrays:
            if not _equal_arrays(array, before):
                array[...] = before
        for _, _, tensor, numbers in self._copies:
            if numbers is not None and not self.tensors.unchanged(tensor, numbers):
                self.tensors.put_back(tensor, numbers)


def _members(thing: Any) -> dict[Any, Any] | None:
    """What a holder holds by key; None where it holds nothing that is looked into."""
    if isinstance(thing, Mapping):
        return dict(thing)
    if isinstance(thing, (list, tuple, deque)):
        return dict(enumerate(thing))
    if isinstance(thing, (set, frozenset)):
        return {id(member): member for member in thing}
    if callable(thing) and not hasattr(thing, "__dict__"):
        return None
    return _attributes(thing)


def _attributes(thing: Any) -> dict[str, Any] | None:
    """Attributes of a plain object: of its `__dict__` and of its slots."""
    own = getattr(thing, "__dict__", None)
    members = dict(own) if type(own) is dict else {}
    for slot in _slots(thing):
        if hasattr(thing, slot):
            members[slot] = getattr(thing, slot)
    return members or None


def _put_back(holder: Any, before: Mapping[Any, Any]) -> None:
    now = _members(holder) or {}
    if list(now) == list(before) and all(now[key] is before[key] for key in before):
        return
    if isinstance(holder, SEQUENCES):
        holder.clear()
        holder.extend(before.values())
    elif isinstance(holder, set):
        holder.clear()
        holder.update(before.values())
    elif isinstance(holder, MutableMapping):
        holder.clear()
        holder.update(before)
    else:
        _put_back_attributes(holder, before)


def _put_back_attributes(holder: Any, before: Mapping[str, Any]) -> None:
    slots = _slots(holder)
    own = getattr(holder, "__dict__", None)
    if type(own) is dict:
        own.clear()
        own.update({name: value for name, value in before.items() if name not in slots})
    for name in slots:
        if name in before:
            object.__setattr__(holder, name, before[name])
        elif hasattr(holder, name):
            object.__delattr__(holder, name)


def _slots(thing: Any) -> tuple[str, ...]:
    """Names of an object's slots, those of its bases included."""
    names: list[str] = []
    for cls in type(thing).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names += (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _same_plain(before: Any, after: Any) -> bool:
    if not isinstance(before, PLAIN) or type(before) is not type(after):
        return False
    return bool(before == after) or before != before


def _shown(member: Any) -> Any:
    return None if member is MISSING else member


def _equal_arrays(array: Any, before: Any) -> bool:
    if isinstance(array, bytearray):
        return bool(array == before)
    return array.shape == before.shape and bool(
        np.array_equal(array, before, equal_nan=array.dtype.kind in "fc")
    )
