"""What stands here for a thing in the other process: it has a number there, and is let go there
when nobody holds it here any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.late_array import LateArray

__all__ = [
    "AbsentModel",
    "AbsentModule",
    "Caller",
    "Elsewhere",
    "Origin",
    "RemoteDict",
    "RemoteFunction",
    "RemoteLate",
    "RemoteList",
    "RemoteModel",
    "RemoteTensor",
]


class Caller(Protocol):
    """Asks the other process."""

    def ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        """The answer to one question; errors of the other process are raised here."""
        ...

    def let_go(self, number: int) -> None:
        """Nobody holds the thing of this number here any more."""
        ...


class Elsewhere:
    """A thing in the other process.

    Attributes:
        caller: asks that process.
        number: of the thing there.
    """

    def __init__(self, caller: Caller, number: int) -> None:
        self.caller = caller
        self.number = number

    def __del__(self) -> None:
        self.caller.let_go(self.number)


class RemoteTensor(Elsewhere):
    """A tensor of the other process.

    Attributes:
        shape: of the tensor.
        dtype: in graph spelling.
        filled: whether it holds numbers.
    """

    def __init__(
        self, caller: Caller, number: int, shape: tuple[int, ...], dtype: str, filled: bool
    ) -> None:
        super().__init__(caller, number)
        self.shape = shape
        self.dtype = dtype
        self.filled = filled

    def numpy(self) -> Array:
        """Its numbers, on the host."""
        array: Array = self.caller.ask("values.array", self)
        return array

    def detach(self) -> RemoteTensor:
        """The same without gradient."""
        return self._own("detach")

    def clone(self) -> RemoteTensor:
        """A copy."""
        return self._own("clone")

    def mean(self) -> RemoteTensor:
        """The mean of all its numbers."""
        return self._own("mean")

    def __add__(self, other: object) -> RemoteTensor:
        return self._own("__add__", other)

    def __truediv__(self, other: object) -> RemoteTensor:
        return self._own("__truediv__", other)

    def _own(self, method: str, *arguments: object) -> RemoteTensor:
        made: RemoteTensor = self.caller.ask("method", self, method, *arguments)
        return made


class RemoteLate(LateArray):
    """Numbers that the other process reads when they are asked for.

    Attributes:
        origin: the array there.
    """

    def __init__(self, origin: Elsewhere, shape: tuple[int, ...], dtype: str) -> None:
        super().__init__(shape, dtype, lambda: np.array(origin.caller.ask("late.read", origin)))
        self.origin = origin


@dataclass(frozen=True)
class AbsentModule:
    """What stands for a module of a model that is not of this process.

    Attributes:
        classes: names of its class and of those that it is derived from.
    """

    classes: tuple[str, ...]


class AbsentModel:
    """What stands for a model that is not of this process.

    Attributes:
        framework: its framework.
        class_name: its class.
        kind: what it is, for messages.
        second: whether it stands second whatever its framework.
    """

    framework: str
    class_name: str
    kind: str = ""
    second: bool = False

    def modules(self) -> dict[str, AbsentModule]:
        """Its modules by dotted path, the root as ""."""
        raise NotImplementedError


class RemoteModel(Elsewhere, AbsentModel):
    """A model of the other process; called, it runs there.

    Attributes:
        framework: its framework.
        class_name: its class.
        version: of its framework.
        shared: whether the side's further processes hold it too.
    """

    kind = "a model in another interpreter"

    def __init__(
        self,
        caller: Caller,
        number: int,
        framework: str,
        class_name: str,
        version: str,
        shared: bool = True,
    ) -> None:
        super().__init__(caller, number)
        self.framework = framework
        self.class_name = class_name
        self.version = version
        self.shared = shared

    def __call__(self, **example: Any) -> Any:
        """What the model returns."""
        return self.caller.ask("call", self, **example)

    def modules(self) -> dict[str, AbsentModule]:
        """As of `AbsentModel`."""
        listed: dict[str, list[str]] = self.caller.ask("modules", self)
        return {path: AbsentModule(tuple(classes)) for path, classes in listed.items()}


class RemoteFunction(Elsewhere):
    """A function of the other process: a loss, a step; `__name__` is what it is called there."""

    def __init__(self, caller: Caller, number: int, name: str = "") -> None:
        super().__init__(caller, number)
        self.__name__ = name

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        return self.caller.ask("call", self, *arguments)


class Origin(Elsewhere):
    """A structure of the other process.

    Attributes:
        leaves: its tensors by name, as they came.
    """

    leaves: Mapping[str, RemoteTensor]


class RemoteDict(dict[str, Any]):
    """What a model takes or returns by name; `origin` is the thing itself, in the other process."""

    origin: Origin


class RemoteList(list[Any]):
    """What a model takes or returns by position; `origin` is the thing itself, in the other
    process."""

    origin: Origin
