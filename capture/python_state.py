"""The Python state of a model: attributes, lists, dicts, objects with caches; as found, and put
back.

A forward may count its calls, keep a cache or write into an array. What a model holds is walked
once, each holder's members are noted and arrays are copied; afterwards it can be said what a run
changed, and everything can be put back where it was. Tensors are a framework's own: it says how
they are copied.
"""

from __future__ import annotations

import copy
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any, NamedTuple, Protocol

import numpy as np

from padiff_graph.capture.capture_errors import CaptureError

__all__ = [
    "ABSENT",
    "Change",
    "PythonState",
    "TensorCopies",
    "Watch",
    "deep_copy",
    "plain_leaves",
    "python_facts",
]

PLAIN = (str, bytes, int, float, complex, bool, type(None), type, range, slice, np.generic)
"""Values that cannot change."""
ATOMS = frozenset(PLAIN)
OPAQUE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
"""What holds no state of the model's own."""
SEALED = frozenset({"torch", "paddle"}) | sys.stdlib_module_names - {
    "argparse",
    "builtins",
    "collections",
    "functools",
    "types",
}
"""Packages whose objects are not looked into (loggers, locks, graphs, devices): they hold no state
of the model's own, and much else hangs on them. Containers and namespaces are the user's."""


class _Absent:
    """Stands for a member that a holder has not."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


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
        before, after: its values; `ABSENT` stands for a member that is not there.
    """

    owner: str
    name: str
    before: Any
    after: Any


class _Aspect(NamedTuple):
    """One way in which a holder holds members: as items, or as attributes."""

    members: Callable[[Any], dict[Any, Any]]
    put_back: Callable[[Any, Mapping[Any, Any]], None]


class _Held(NamedTuple):
    """One holder as it was found; a tuple, since each look at a model makes thousands."""

    owner: str
    name: str
    holder: Any
    aspect: _Aspect
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
        apart: tensors whose numbers are looked after elsewhere.
        numbers: whether the numbers of tensors are looked after at all.
        opened: classes that are looked into though their package is `SEALED`.
        tables: those of `own` whose members are state too, and reported by their own names: a
            framework may list a tensor that a forward keeps among the buffers.
    """

    modules: Iterable[tuple[str, Any]]
    tensors: TensorCopies
    own: frozenset[str] = frozenset()
    apart: frozenset[int] = frozenset()
    numbers: bool = True
    opened: tuple[type, ...] = ()
    tables: frozenset[str] = frozenset({"_buffers"})
    met: list[Any] = field(default_factory=list, init=False)
    """Tensors that stand in Python attributes, those `apart` left out."""
    _held: list[_Held] = field(default_factory=list, init=False)
    _arrays: list[tuple[str, str, Any, Any]] = field(default_factory=list, init=False)
    _copies: list[tuple[str, str, Any, Any]] = field(default_factory=list, init=False)
    _roots: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._roots = dict(self.modules)
        seen = {id(module) for module in self._roots.values()} | self.apart
        for path, module in self._roots.items():
            members = dict(vars(module))
            self._held.append(_Held(path, "", module, ATTRIBUTES, members, True))
            for name, member in members.items():
                if name in self.own:
                    self._hold_own(path, name, member)
                elif not isinstance(member, PLAIN):
                    self._walk(path, name, member, seen)

    def _hold_own(self, owner: str, name: str, table: Any) -> None:
        """A framework's own table: what stands in it is looked after elsewhere."""
        aspect = _items(table)
        if aspect is not None:
            state = name in self.tables
            way = "" if state else name
            self._held.append(_Held(owner, way, table, aspect, aspect.members(table), state))

    def _walk(self, owner: str, name: str, start: Any, seen: set[int]) -> None:
        todo: list[tuple[str, Any]] = [(name, start)]
        while todo:
            way, thing = todo.pop()
            if isinstance(thing, (*PLAIN, *OPAQUE)) or id(thing) in seen:
                continue
            seen.add(id(thing))
            if self.tensors.is_tensor(thing):
                self._meet(owner, way, thing)
            elif isinstance(thing, (np.ndarray, bytearray)):
                self._arrays.append((owner, way, thing, thing.copy()))
            else:
                for aspect in _aspects(thing, self.opened):
                    members = aspect.members(thing)
                    if not isinstance(thing, (tuple, frozenset)):
                        self._held.append(_Held(owner, way, thing, aspect, members, True))
                    todo += [(f"{way}.{key}", member) for key, member in members.items()]

    def _meet(self, owner: str, way: str, tensor: Any) -> None:
        self.met.append(tensor)
        if self.numbers:
            self._copies.append((owner, way, tensor, self.tensors.copied(tensor)))

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
        now = held.aspect.members(held.holder)
        for key in {**held.members, **now}:
            if not held.name and key in self.own:
                continue
            before, after = held.members.get(key, ABSENT), now.get(key, ABSENT)
            if before is after or _same_plain(before, after):
                continue
            name = f"{held.name}.{key}" if held.name else str(key)
            yield Change(held.owner, name, before, after)

    def now(self, owner: str, name: str) -> Any:
        """An attribute of a module, or what stands in one of the `tables`, at this moment; `ABSENT`
        where there is none."""
        module = self._roots.get(owner)
        if module is None:
            return ABSENT
        members = dict(vars(module))
        for table in self.tables & members.keys():
            members |= members[table]
        return members.get(name, ABSENT)

    def places(self) -> Iterator[tuple[str, str]]:
        """Every (path of a module, name of an attribute) that `now` answers for."""
        for owner, module in self._roots.items():
            members = dict(vars(module))
            for table in self.tables & members.keys():
                members |= members[table]
            for name in members.keys() - self.own:
                yield owner, name

    def restore(self) -> None:
        """Puts every member and every number back where it was found."""
        for held in self._held:
            if not _same_members(held.aspect.members(held.holder), held.members):
                held.aspect.put_back(held.holder, held.members)
        for _, _, array, before in self._arrays:
            if not _equal_arrays(array, before):
                _put_back_array(array, before)
        for _, _, tensor, numbers in self._copies:
            if numbers is not None and not self.tensors.unchanged(tensor, numbers):
                self.tensors.put_back(tensor, numbers)


@dataclass(frozen=True)
class Watch:
    """What is looked after while something runs, to be asked about as long as it does.

    Attributes:
        python: the model's Python state as it was found; None where a model has none.
        written: names of the parameters and buffers whose numbers are not as they were found.
    """

    python: PythonState | None
    written: Callable[[], frozenset[str]]


def plain_leaves(value: Any, is_tensor: Callable[[object], bool]) -> dict[str, Any]:
    """What a value comes to: numbers, texts, arrays and tensors by the way to them ("" for the
    value itself); objects that are not looked into, and functions, are left out."""
    found: dict[str, Any] = {}
    todo: list[tuple[str, Any]] = [("", value)]
    seen: set[int] = set()
    while todo:
        way, thing = todo.pop()
        if isinstance(thing, (*PLAIN, np.ndarray, bytearray)) or is_tensor(thing):
            found[way] = thing
        elif id(thing) not in seen and not isinstance(thing, OPAQUE):
            seen.add(id(thing))
            for aspect in _aspects(thing):
                members = aspect.members(thing)
                todo += [(f"{way}.{key}", member) for key, member in members.items()]
    return found


def python_facts(
    modules: Iterable[tuple[str, Any]],
    own: Collection[str],
    is_tensor: Callable[[object], bool],
    checksum: Callable[[Any], object],
) -> dict[str, object]:
    """What modules hold in Python, by a label that says what it is, to be compared.

    Args:
        modules: (dotted path, module).
        own: names of the framework's own attributes, which are left out.
        is_tensor: tells the framework's tensors.
        checksum: of a tensor's numbers.
    """
    facts: dict[str, object] = {}
    for path, module in modules:
        for name, value in vars(module).items():
            if name in own:
                continue
            for way, leaf in plain_leaves(value, is_tensor).items():
                fact: object = leaf
                if is_tensor(leaf):
                    fact = id(leaf), checksum(leaf)
                elif isinstance(leaf, (np.ndarray, bytearray)):
                    fact = id(leaf), bytes(leaf)
                facts[f"{path or '(root)'}: {name}{way}"] = fact
    return facts


def _same_members(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> bool:
    """Whether the same members stand under the same keys in the same order."""
    if len(now) != len(before) or not all(map(is_, now.values(), before.values())):
        return False
    return list(now) == list(before)


# -- what holds members, and how they are put back


def _aspects(thing: Any, opened: tuple[type, ...] = ()) -> Iterator[_Aspect]:
    """In which ways a thing holds members that are looked into."""
    items = _items(thing)
    if items is not None:
        yield items
    sealed = type(thing).__module__.partition(".")[0] in SEALED
    if (not sealed or isinstance(thing, opened)) and (_own(thing) or _slots(thing)):
        yield ATTRIBUTES


def _items(thing: Any) -> _Aspect | None:
    """How the members of a container are read and put back; None for anything else."""
    own = type(thing)
    if own in EXACT or own in ATOMS:
        return EXACT.get(own)
    return next((aspect for kind, aspect in CONTAINERS if isinstance(thing, kind)), None)


def _by_position(thing: Any) -> dict[int, Any]:
    return dict(enumerate(thing))


def _by_identity(thing: Any) -> dict[int, Any]:
    return {id(member): member for member in thing}


def _by_key(thing: dict[Any, Any]) -> dict[Any, Any]:
    # a class of the user's may load or compute in its own `copy` and `items`
    return dict.copy(thing)


def _refill_list(holder: list[Any], before: Mapping[Any, Any]) -> None:
    holder[:] = before.values()


def _refill_deque(holder: deque[Any], before: Mapping[Any, Any]) -> None:
    holder.clear()
    holder.extend(before.values())


def _refill_set(holder: set[Any], before: Mapping[Any, Any]) -> None:
    holder.clear()
    holder.update(before.values())


def _refill_dict(holder: dict[Any, Any], before: Mapping[Any, Any]) -> None:
    # a class of the user's may forbid these methods of its own
    kind: type[dict[Any, Any]] = OrderedDict if isinstance(holder, OrderedDict) else dict
    kind.clear(holder)
    for key, member in before.items():
        kind.__setitem__(holder, key, member)


def _leave(holder: Any, before: Mapping[Any, Any]) -> None:
    """What cannot change needs nothing."""


CONTAINERS: tuple[tuple[type, _Aspect], ...] = (
    (dict, _Aspect(_by_key, _refill_dict)),
    (list, _Aspect(_by_position, _refill_list)),
    (tuple, _Aspect(_by_position, _leave)),
    (deque, _Aspect(_by_position, _refill_deque)),
    (set, _Aspect(_by_identity, _refill_set)),
    (frozenset, _Aspect(_by_identity, _leave)),
)
"""Containers, and how their members are read and put back."""
EXACT = {**dict(CONTAINERS), OrderedDict: CONTAINERS[0][1]}
"""By class, since a model has thousands of tables of a few classes."""


def _own(thing: Any) -> dict[str, Any]:
    own = getattr(thing, "__dict__", None)
    return own if type(own) is dict else {}


def _attributes(thing: Any) -> dict[str, Any]:
    """Attributes of a plain object: of its `__dict__` and of its slots."""
    members = dict(_own(thing))
    for slot, place in _slots(thing).items():
        try:
            members[slot] = place.__get__(thing)
        except AttributeError:  # nothing was assigned to it
            continue
    return members


def _put_back_attributes(holder: Any, before: Mapping[str, Any]) -> None:
    slots = _slots(holder)
    own = getattr(holder, "__dict__", None)
    if type(own) is dict:
        own.clear()
        own.update({name: value for name, value in before.items() if name not in slots})
    now = _attributes(holder)
    for name, place in slots.items():
        if name in before:
            place.__set__(holder, before[name])
        elif name in now:
            place.__delete__(holder)


ATTRIBUTES = _Aspect(_attributes, _put_back_attributes)


def _slots(thing: Any) -> dict[str, Any]:
    """The slots of an object's class and its bases: name -> where the class keeps it."""
    return {
        name: place
        for cls in type(thing).__mro__
        if "__slots__" in cls.__dict__
        for name, place in cls.__dict__.items()
        if isinstance(place, types.MemberDescriptorType)
    }


def _same_plain(before: Any, after: Any) -> bool:
    if not isinstance(before, PLAIN) or type(before) is not type(after):
        return False
    return bool(before == after) or before != before


def _put_back_array(array: Any, before: Any) -> None:
    if isinstance(array, bytearray):
        array[:] = before
        return
    if array.shape != before.shape:
        array.resize(before.shape, refcheck=False)
    array[...] = before


def _equal_arrays(array: Any, before: Any) -> bool:
    if isinstance(array, bytearray):
        return bool(array == before)
    return array.shape == before.shape and bool(
        np.array_equal(array, before, equal_nan=array.dtype.kind in "fc")
    )


def deep_copy(model: Any) -> Any:
    """A copy of a model with all that it holds.

    Raises:
        CaptureError: it holds what cannot be copied, as locks and open files.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever an object of the user's raises when it is copied
        raise CaptureError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}), which a "
            "look at it in half precision needs"
        ) from None
