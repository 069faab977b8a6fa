"""A question holds only things of the process that is asked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from padiff_graph.capture.leaf_names import leaves
from padiff_graph.capture.remote.channel import Channel
from padiff_graph.capture.remote.client import Client, is_tensor
from padiff_graph.capture.remote.handles import Origin, RemoteDict, RemoteTensor


@pytest.fixture
def clients() -> Iterator[tuple[Client, Client]]:
    pairs = [socket.socketpair() for _ in range(2)]
    both = (
        Client(Channel(pairs[0][0]), "the first side"),
        Client(Channel(pairs[1][0]), "the second side"),
    )
    yield both
    for client, (_, there) in zip(both, pairs, strict=True):
        client.close()
        there.close()


def _tensor(client: Client, number: int) -> RemoteTensor:
    return RemoteTensor(client, number, (2,), "float32", True)


def _structure(client: Client, tensor: RemoteTensor) -> RemoteDict:
    structure = RemoteDict({"x": tensor})
    structure.origin = Origin(client, 7)
    structure.origin.leaves = leaves(structure, is_tensor)
    return structure


def _refused(client: Client, value: Any) -> str:
    with pytest.raises(ValueError) as refusal:
        client.ask("call", value)
    return str(refusal.value)


def test_a_tensor_of_another_process_is_refused(clients: tuple[Client, Client]) -> None:
    first, second = clients
    assert "handed to the first side" in _refused(first, _tensor(second, 3))


def test_a_structure_of_another_process_is_refused(clients: tuple[Client, Client]) -> None:
    first, second = clients
    assert "the first side" in _refused(first, _structure(second, _tensor(second, 3)))


def test_a_structure_that_was_given_a_tensor_of_another_process_is_refused(
    clients: tuple[Client, Client],
) -> None:
    first, second = clients
    structure = _structure(first, _tensor(first, 3))
    structure["x"] = _tensor(second, 3)
    assert "the first side" in _refused(first, structure)
