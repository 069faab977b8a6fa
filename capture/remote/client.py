"""Asks another process, and stands in for what lives there."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from padiff_graph.capture.graph import ComputationGraph
from padiff_graph.capture.late_array import LateArray
from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.remote.channel import Channel, Closed
from padiff_graph.capture.remote.errors import SideEndedError, raised_there
from padiff_graph.capture.remote.handles import (
    Elsewhere,
    Origin,
    RemoteDict,
    RemoteFunction,
    RemoteLate,
    RemoteList,
    RemoteModel,
    RemoteTensor,
)
from padiff_graph.capture.remote.wire import Buffers, Ref, decode, encode

__all__ = ["Client", "is_tensor"]


def is_tensor(value: object) -> bool:
    """Whether a value stands for a tensor of another process."""
    return isinstance(value, RemoteTensor)


LOG = logging.getLogger(__name__)
Own = TypeVar("Own", bound="Client")
ENGINE = ("engine",)
"""Marks the reference to a model by which its engine is meant."""


class Client:
    """The asking end of a connection.

    Args:
        connection: to the process that answers; None where it is asked by other means.
        name: what the side is called in messages.

    Attributes:
        helpers: ask further processes that hold the same model, for some of its regions.
        model: of a helper, what stands for its model.
        turn: taken while a question waits for its answer, since regions may be asked abreast.
    """

    def __init__(self, connection: Channel | None, name: str) -> None:
        self.connection = connection
        self.name = name
        self.dropped: list[int] = []
        self.questions = self.crossed = 0
        self.reason = "it ended"
        self.helpers: tuple[Client, ...] = ()
        self.model: RemoteModel | None = None
        self.turn = threading.RLock()

    def ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        """The answer to one question.

        Raises:
            SideEndedError: there is nobody to answer.
            Exception: what the other process raised.
        """
        buffers: Buffers = []
        # before the turn is taken: a late weight of the other side is read meanwhile
        asked = [encode(part, buffers, self._sent) for part in (what, list(arguments), named)]
        with self.turn:
            dropped, self.dropped = self.dropped, []
            message = [*asked, dropped]
            answer, got = self._exchanged(message, buffers)
            self.questions += 1
            self.crossed += sum(array.nbytes for array in (*buffers, *got))
        if "error" in answer:
            raise raised_there(answer["error"])
        return decode(answer["value"], got, self._found)

    def summed_up(self) -> None:
        """Says in the log how much was asked."""
        LOG.info("%s: %d questions, %d bytes crossed", self.name, self.questions, self.crossed)

    def let_go(self, number: int) -> None:
        """Said with the next question."""
        self.dropped.append(number)

    @property
    def there(self) -> bool:
        """Whether there is somebody to ask."""
        return self.connection is not None

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends what answers, when its check has ended."""
        self.summed_up()
        self.close()
        self.reason = "its check has ended"

    def close(self) -> None:
        """Ends the connection; the other process ends by that."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def break_off(self) -> None:
        """Ends the connection from another thread than the one that waits for an answer."""
        self.reason = "a question to it was broken off"
        if self.connection is not None:
            with suppress(OSError):  # the other end is gone already
                self.connection.socket.shutdown(socket.SHUT_RDWR)

    def _exchanged(self, message: Any, buffers: Buffers) -> tuple[Any, Buffers]:
        if self.connection is None:
            raise SideEndedError(f"{self.name} is not there any more: {self.reason}")
        waits = self.connection.socket.gettimeout()
        try:
            self.connection.send(message, buffers)
            return self.connection.receive()
        except TimeoutError:
            self.reason = f"it did not answer for {waits:g} seconds"
        except Closed as error:
            self.reason = self.why_ended() or str(error)
        except BaseException:
            # an answer that nobody waits for would be taken for that of the next question
            self.reason = "a question to it was broken off"
            self.close()
            raise
        self.close()
        raise SideEndedError(f"{self.name} stopped: {self.reason}")

    def why_ended(self) -> str:
        """Why the other process is gone, "" where that is not known."""
        return ""

    def _sent(self, value: Any) -> Ref | None:
        """The reference to a thing of the other process, or to a structure of it as it is now."""
        if isinstance(value, (RemoteDict, RemoteList)):
            return self._structure(value)
        if isinstance(value, ComputationGraph) and value.session is not None:
            value = value.session.graph  # type: ignore[attr-defined]
        if isinstance(value, LateArray):
            ours = isinstance(value, RemoteLate) and value.origin.caller is self
            return Ref(value.origin.number) if ours else None
        marks: tuple[str, ...] = ()
        if not isinstance(value, Elsewhere):
            model = getattr(value, "model", None)
            if not isinstance(model, RemoteModel):
                return None
            value, marks = model, ENGINE
        return self._own(value, marks)

    def _structure(self, value: RemoteDict | RemoteList) -> Ref:
        """The thing itself, and which of its tensors are others now."""
        changed = {
            name: self._own(leaf)
            for name, leaf in leaves(value, is_tensor).items()
            if leaf is not value.origin.leaves.get(name)
        }
        number = self._own(value.origin).number
        return Ref(number, (changed,) if changed else ())

    def _own(self, value: Elsewhere, marks: tuple[str, ...] = ()) -> Ref:
        """The reference to a thing, which must be of the process that is asked."""
        if value.caller is not self:
            raise ValueError(f"a thing of another process was handed to {self.name}")
        return Ref(value.number, marks)

    def _found(self, ref: Ref) -> Any:
        """What stands here for a thing of the other process."""
        kind, *facts = ref.facts
        if kind == "tensor":
            shape, dtype, filled = facts
            return RemoteTensor(self, ref.number, tuple(shape), dtype, filled)
        if kind == "late":
            return RemoteLate(Elsewhere(self, ref.number), tuple(facts[0]), facts[1])
        if kind == "model":
            return RemoteModel(self, ref.number, *facts)
        if kind == "function":
            return RemoteFunction(self, ref.number, *facts)
        if kind == "optimizer":
            return type(str(facts[0]), (Elsewhere,), {})(self, ref.number)
        if kind == "structure":
            return self._with_origin(ref.number, facts[0])
        return Elsewhere(self, ref.number)

    def _with_origin(self, number: int, members: Any) -> Any:
        structure: RemoteDict | RemoteList
        structure = RemoteDict(members) if isinstance(members, dict) else RemoteList(members)
        structure.origin = Origin(self, number)
        structure.origin.leaves = leaves(structure, is_tensor)
        return structure

    @contextmanager
    def within(self, what: str, *arguments: Any, **named: Any) -> Iterator[Any]:
        """A context of the other process; what it yields there, as it stands here.

        What it yields is asked for again at the end: a list is filled then.
        """
        number, given = self.ask("enter", what, list(arguments), named)
        try:
            yield given
        finally:
            last = self.ask("exit", number) if self.there else None
            if isinstance(given, list) and isinstance(last, list):
                given[:] = last
