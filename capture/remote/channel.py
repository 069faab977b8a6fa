"""Requests and answers over a socket, one at a time: a JSON header, and the small arrays behind it.
Large arrays lie in memory that both processes map; the header says where. One that came this way
and goes on, as a value does from the side that computed it through the judge to the side that
reads it, is not written again."""

from __future__ import annotations

import json
import os
import socket
import struct
import weakref
from collections import deque
from itertools import count
from typing import Any

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.remote.shared_memory import Arena, Chunk, Place, chunk_of, seen, view
from padiff_graph.capture.remote.wire import Buffers

__all__ = ["Channel", "Closed"]

LENGTH = struct.Struct("<Q")
LONGEST = 1 << 32
"""Bytes of a header at most: more is no message of ours."""
LARGE = 1 << 16
"""Bytes from which on an array lies in memory that both map."""
DESCRIPTORS = 100
"""So many chunks are named for the first time in one message; Linux sends 253 at most."""
PRIVATE = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""What a model starts does not have them."""
Where = list[Any]
"""Of a large array: its chunk's number on this connection, its first byte there, and the number
under which the reader says that it is done."""


class Closed(ConnectionError):
    """The other end is gone."""


class Channel:
    """One end of a connection.

    Args:
        connection: a socket, which is the channel's own from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.process = os.getpid()
        self.shares = connection.family == getattr(socket, "AF_UNIX", None)
        self.arena = Arena()
        self.told: dict[Chunk, int] = {}
        """Chunks that the other end maps, with their numbers."""
        self.seen: dict[int, Chunk] = {}
        """Chunks of the other end by their numbers."""
        self.lent: dict[int, Place | Array] = {}
        """What the other end reads; arrays of a third process stay as long as it does."""
        self.leases = count()
        self.done: deque[int] = deque()
        """What nobody here reads any more; said with the next message."""

    def send(self, message: Any, buffers: Buffers) -> None:
        """Sends one message.

        Args:
            message: what JSON holds.
            buffers: the arrays that it names.

        Raises:
            Closed: the other end is gone.
            TimeoutError: it takes nothing for as long as the socket waits.
        """
        if os.getpid() != self.process:
            raise Closed("it is another process's connection")  # a model's code has forked
        fresh: list[Chunk] = []
        places = [self._lent(array, fresh) for array in buffers]
        shapes = [
            [array.dtype.str, list(array.shape), place]
            for array, place in zip(buffers, places, strict=True)
        ]
        done = [self.done.popleft() for _ in range(len(self.done))]
        header = json.dumps([message, shapes, done, len(fresh)], allow_nan=False).encode()
        try:
            start = LENGTH.pack(len(header))
            if fresh:
                sent = socket.send_fds(self.socket, [start], [own.number for own in fresh])
                start = start[sent:]
            self.socket.sendall(start + header)
            for array, place in zip(buffers, places, strict=True):
                if array.size and place is None:
                    flat = np.ascontiguousarray(array).reshape(-1)
                    self.socket.sendall(flat.view(np.uint8).data)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from error

    def receive(self) -> tuple[Any, Buffers]:
        """The next message and its arrays. Large ones are read only, and are handed on without a
        copy; the others are writable.

        Raises:
            Closed: the other end is gone, in the middle of a message too.
            TimeoutError: nothing came for as long as the socket waits.
        """
        start, numbers = self._start()
        try:
            (length,) = LENGTH.unpack(start)
            if length > LONGEST:
                raise Closed(f"a header of {length} bytes is no message")
            message, shapes, *more = json.loads(bytes(self._bytes(length)))
            done, fresh = more or ([], 0)  # another version greets without
            if fresh != len(numbers):
                raise Closed(f"{len(numbers)} of {fresh} descriptors arrived")
            while numbers:
                self.seen[len(self.seen)] = seen(numbers.pop(0))
        except (OSError, ValueError) as error:
            if isinstance(error, (TimeoutError, Closed)):
                raise
            raise Closed(str(error)) from error
        finally:
            for number in numbers:
                os.close(number)
        for lease in done:
            ended = self.lent.pop(lease, None)
            if isinstance(ended, Place):
                self.arena.release(ended)
        arrays = [self._array(np.dtype(kind), tuple(shape), where) for kind, shape, where in shapes]
        return message, arrays

    def close(self) -> None:
        """Ends the connection; arrays that came by it stay."""
        self.socket.close()
        self.told, self.seen, self.lent, self.arena = {}, {}, {}, Arena()

    def _lent(self, array: Array, fresh: list[Chunk]) -> Where | None:
        """Where the other end finds an array; None for one that is sent itself."""
        if array.nbytes < LARGE or not self.shares or len(fresh) == DESCRIPTORS:
            return None
        known = chunk_of(array)
        held: Place | Array = array
        if known is None:
            place = self.arena.written(array)
            if place is None:
                return None
            held, known = place, (place.chunk, place.start)
        chunk, start = known
        if chunk not in self.told:
            self.told[chunk] = len(self.told)
            fresh.append(chunk)
        lease = next(self.leases)
        self.lent[lease] = held
        return [self.told[chunk], start, lease]

    def _array(self, kind: np.dtype[Any], shape: tuple[int, ...], where: Where | None) -> Array:
        if where is None:
            size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
            return np.frombuffer(self._bytes(size), kind).reshape(shape)
        number, start, lease = where
        try:
            whole = view(self.seen[number], start, kind, shape)
        except (KeyError, ValueError) as error:
            raise Closed(f"an array did not arrive: {error}") from error
        weakref.finalize(whole, self.done.append, lease).atexit = False
        return whole.reshape(shape)

    def _start(self) -> tuple[bytes, list[int]]:
        """The first bytes of a message, and the descriptors that come with them."""
        if not self.shares:
            return bytes(self._bytes(LENGTH.size)), []
        try:
            start, numbers, _, _ = socket.recv_fds(self.socket, LENGTH.size, DESCRIPTORS, PRIVATE)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from error
        if not start:
            raise Closed("the connection ended")
        try:
            return start + bytes(self._bytes(LENGTH.size - len(start))), list(numbers)
        except BaseException:
            for number in numbers:
                os.close(number)
            raise

    def _bytes(self, size: int) -> bytearray:
        whole = bytearray(size)
        rest, got = memoryview(whole), 0
        while got < size:
            try:
                more = self.socket.recv_into(rest[got:])
            except TimeoutError:
                raise
            except OSError as error:
                raise Closed(str(error)) from error
            if not more:
                raise Closed("the connection ended")
            got += more
        return whole
