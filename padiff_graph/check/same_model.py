"""Whether two models made by the same code are the same but for their weights: then a capture of
one is a capture of the other."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from padiff_graph.capture.abilities import Values
from padiff_graph.capture.engine import same_numbers

__all__ = ["same_model"]

NAMED = frozenset({"_full_name", "_helper"})
"""Attributes in which Paddle numbers its layers, in the order in which they were made; nothing is
computed from them."""
FLAGS = ("requires_grad", "stop_gradient")
"""Attributes of tensors that say whether a gradient is asked for."""
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.dtype, np.generic)
"""Types whose values are compared as they are."""
UNOWNED = (*PLAIN, tuple, frozenset, types.FunctionType, types.MethodType)
"""Types of which it does not matter whether a value stands in two places or an equal one does."""
FIXED = (type, types.BuiltinFunctionType, types.ModuleType)
"""Types of what the same code names again; it is the same object then."""


def same_model(first: Any, second: Any, values: Values, weights: frozenset[int]) -> bool:
    """Whether two values, models mostly, are the same in all that Python sees of them.

    Classes and functions must be the same objects: code that was imported anew is other code. What
    cannot be looked into is not the same.

    Args:
        values: tells tensors of the framework.
        weights: ids of tensors of which only shape and dtype count.
    """
    return _Comparison(values, weights).same(first, second)


class _Comparison:
    """One comparison; remembers which pairs it is about, for what refers back to itself."""

    def __init__(self, values: Values, weights: frozenset[int]) -> None:
        self.values = values
        self.weights = weights
        self.pairs: set[tuple[int, int]] = set()
        self.partners: dict[tuple[int, int], int] = {}

    def same(self, first: Any, second: Any) -> bool:
        """Whether two values are the same."""
        pair = id(first), id(second)
        if first is second or pair in self.pairs:
            return True
        if type(first) is not type(second) or isinstance(first, FIXED):
            return False
        if not isinstance(first, UNOWNED) and not self._partners(*pair):
            return False
        self.pairs.add(pair)
        for kinds, compare in self._ways():
            if isinstance(first, kinds):
                return compare(first, second)
        if self.values.is_tensor(first):
            return self._tensors(first, second)
        return self._objects(first, second)

    def _partners(self, first: int, second: int) -> bool:
        """Whether one object stands for one: what is shared on one side is on the other."""
        there = self.partners.setdefault((0, first), second) == second
        return there and self.partners.setdefault((1, second), first) == first

    def _ways(self) -> tuple[tuple[tuple[type, ...], Callable[[Any, Any], bool]], ...]:
        return (
            (PLAIN, lambda first, second: bool(repr(first) == repr(second))),
            ((np.ndarray,), _arrays),
            ((dict,), self._mappings),
            ((list, tuple), self._sequences),
            ((set, frozenset), _sets),
            ((types.FunctionType,), self._functions),
            ((types.MethodType,), self._methods),
        )

    def _mappings(self, first: Mapping[Any, Any], second: Mapping[Any, Any]) -> bool:
        if list(first) != list(second) or not self._attributes(first, second):
            return False
        return all(self.same(value, second[name]) for name, value in first.items())

    def _sequences(self, first: Any, second: Any) -> bool:
        if len(first) != len(second) or not self._attributes(first, second):
            return False
        return all(map(self.same, first, second))

    def _functions(self, first: Any, second: Any) -> bool:
        """Functions made anew by the same code, as a lambda is: what they enclose counts."""
        cells = [function.__closure__ or () for function in (first, second)]
        return (
            first.__code__ is second.__code__
            and first.__globals__ is second.__globals__
            and len(cells[0]) == len(cells[1])
            and self.same(
                (first.__defaults__, first.__kwdefaults__),
                (second.__defaults__, second.__kwdefaults__),
            )
            and all(map(self._cells, *cells))
        )

    def _cells(self, first: Any, second: Any) -> bool:
        try:
            return self.same(first.cell_contents, second.cell_contents)
        except ValueError:  # a name that is not bound yet
            return False

    def _methods(self, first: Any, second: Any) -> bool:
        return self.same(first.__func__, second.__func__) and self.same(
            first.__self__, second.__self__
        )

    def _tensors(self, first: Any, second: Any) -> bool:
        if self.values.dtype(first) != self.values.dtype(second):
            return False
        if tuple(first.shape) != tuple(second.shape) or not self._attributes(first, second):
            return False
        if any(getattr(first, flag, None) != getattr(second, flag, None) for flag in FLAGS):
            return False
        if id(first) in self.weights and id(second) in self.weights:
            return True
        materialised = self.values.materialised(first), self.values.materialised(second)
        return all(materialised) and _arrays(self.values.array(first), self.values.array(second))

    def _objects(self, first: Any, second: Any) -> bool:
        """Objects of a class written in Python by their attributes, of others by what they say of
        themselves."""
        kind = type(first)
        if not hasattr(first, "__dict__") or kind.__basicsize__ != _Empty.__basicsize__:
            told = any("__eq__" in vars(base) for base in kind.__mro__[:-1])
            return told and (first == second) is True
        return self._attributes(first, second)

    def _attributes(self, first: Any, second: Any) -> bool:
        """What both hold by name; nothing is no difference."""
        mine, theirs = getattr(first, "__dict__", {}), getattr(second, "__dict__", {})
        if mine.keys() != theirs.keys():
            return False
        return all(
            self.same(value, theirs[name]) for name, value in mine.items() if name not in NAMED
        )


class _Empty:
    """A class of which each object holds its attributes and nothing more, for its size: one that is
    larger keeps something out of sight."""


def _arrays(first: Any, second: Any) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape or first.dtype.hasobject:
        return False
    return same_numbers(first, second)


def _sets(first: Any, second: Any) -> bool:
    return bool(first == second) and all(isinstance(member, PLAIN) for member in first)
