"""Requests and answers over a socket, one at a time: a JSON header, and the arrays behind it."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import numpy as np

from padiff_graph.capture.remote.wire import Buffers

__all__ = ["Closed", "receive", "send"]

LENGTH = struct.Struct("<Q")
LONGEST = 1 << 32
"""Bytes of a header at most: more is no message of ours."""


class Closed(ConnectionError):
    """The other end is gone."""


def send(connection: socket.socket, message: Any, buffers: Buffers) -> None:
    """Sends one message.

    Args:
        message: what JSON holds.
        buffers: the arrays that it names.
    """
    arrays = [np.ascontiguousarray(array) for array in buffers]
    shapes = [[array.dtype.str, list(array.shape)] for array in buffers]
    header = json.dumps([message, shapes], allow_nan=False).encode()
    try:
        connection.sendall(LENGTH.pack(len(header)) + header)
        for array in arrays:
            if array.size:
                connection.sendall(array.reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise Closed(str(error)) from error


def receive(connection: socket.socket) -> tuple[Any, Buffers]:
    """The next message and its arrays, which are writable.

    Raises:
        Closed: the other end is gone, in the middle of a message too.
        TimeoutError: nothing came for as long as the socket waits.
    """
    (length,) = LENGTH.unpack(_bytes(connection, LENGTH.size))
    if length > LONGEST:
        raise Closed(f"a header of {length} bytes is no message")
    message, shapes = json.loads(bytes(_bytes(connection, length)))
    return message, [_array(connection, np.dtype(kind), tuple(shape)) for kind, shape in shapes]


def _array(
    connection: socket.socket, kind: np.dtype[Any], shape: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    return np.frombuffer(_bytes(connection, size), kind).reshape(shape)


def _bytes(connection: socket.socket, size: int) -> bytearray:
    whole = bytearray(size)
    view, got = memoryview(whole), 0
    while got < size:
        try:
            count = connection.recv_into(view[got:])
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from error
        if not count:
            raise Closed("the connection ended")
        got += count
    return whole
