"""What crosses between two processes comes out as it went in, and nothing else is read."""

from __future__ import annotations

import gc
import json
import math
import os
import socket
import sys
import threading
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import pytest

from padiff_graph.capture.graph import Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.remote import channel, shared_memory
from padiff_graph.capture.remote.channel import Channel, Closed
from padiff_graph.capture.remote.shared_memory import Arena
from padiff_graph.capture.remote.wire import (
    HOMES,
    RECORDS,
    Ref,
    Unsendable,
    decode,
    encode,
)


def _stays(value):
    return None


def _crossed(value):
    buffers = []
    message = encode(value, buffers, _stays)
    with _ends() as (here, there):
        sender = threading.Thread(target=here.send, args=(message, buffers))
        sender.start()
        got = there.receive()
        sender.join()
    return decode(*got, lambda ref: ref)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**70,
        -0.5,
        math.inf,
        "\x1b[31mred\n",
        b"\x00\xff",
        1 - 2j,
        (1, (2, [3, None])),
        {"a": (1,), 3: "b", (1, 2): []},
        {1, 2},
        frozenset({"x"}),
        slice(1, None, 2),
        range(3, 9, 2),
        {"k": "array", "v": 0},
        Ref(7, ("tensor", (2, 3))),
        TensorType((2, 3), "bfloat16"),
        Value(4, 1),
        ParameterInfo("w", TensorType((2,), "float32"), ("v",), True, False),
    ],
    ids=repr,
)
def test_a_value_comes_out_as_it_went_in(value):
    out = _crossed(value)
    assert out == value and type(out) is type(value)


def test_not_a_number_crosses():
    assert math.isnan(_crossed(math.nan))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0, dtype=np.float32).reshape(2, 3),
        np.array(3.0),
        np.zeros((0, 4), np.int64),
        np.array([True, False]),
        np.array(1 + 2j, np.complex64),
        np.arange(12).reshape(3, 4).T[::2],
        np.float16([np.nan, np.inf]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_keeps_dtype_shape_and_bits(array):
    out = _crossed({"x": array})["x"]
    assert out.dtype == array.dtype and out.shape == array.shape
    np.testing.assert_array_equal(out, array)
    out[...] = 0  # it is the receiver's own


def test_a_scalar_of_numpy_keeps_its_type():
    out = _crossed(np.float32(1.5))
    assert out == 1.5 and out.dtype == np.float32


def test_a_node_crosses_without_its_native_handle():
    node = Node(
        3,
        "operation",
        "aten.add.Tensor",
        inputs=(Value(1), None),
        attrs={"alpha": 2},
        outputs=(TensorType((2,), "float32"), None),
        marks=frozenset({"random"}),
        constant=np.ones(2, np.float32),
        native=object(),
    )
    out = _crossed(node)
    assert out == node and out.native is None
    np.testing.assert_array_equal(out.constant, node.constant)


@pytest.mark.parametrize("value", [object(), len, np.array([object()])])
def test_what_is_no_plain_data_does_not_cross(value):
    with pytest.raises(Unsendable, match="cannot cross"):
        encode(value, [], _stays)


@pytest.mark.parametrize("kind", ["eval", "Node.__init__", "builtins.object", "padiff_graph.no:x"])
def test_no_other_kind_is_read(kind):
    with pytest.raises(ValueError, match="unknown kind"):
        decode({"k": kind, "v": []}, [], lambda ref: ref)


def test_only_modules_of_records_are_imported_by_name():
    for module in HOMES:
        import_module(module)
    assert {name.partition(":")[0] for name in RECORDS if ":" in name} == set(HOMES)


def test_a_message_that_breaks_off_is_an_end():
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(b"\x10\x00\x00\x00\x00\x00\x00\x00[1")
        with pytest.raises(Closed):
            Channel(there).receive()


def test_a_header_beyond_all_bounds_is_no_message():
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"\xff" * 8)
        with pytest.raises(Closed, match="is no message"):
            Channel(there).receive()


def test_the_header_is_plain_json():
    buffers = []
    message = encode({"x": [1.5, math.nan, np.ones(2)]}, buffers, _stays)
    assert json.loads(json.dumps(message, allow_nan=False)) == message and len(buffers) == 1


@contextmanager
def _ends():
    """Both ends of a connection, between which every message fits."""
    sockets = socket.socketpair()
    ends = [Channel(own) for own in sockets]
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


def _sent(first, second, arrays):
    """Arrays as the other end has them."""
    sender = threading.Thread(target=first.send, args=(None, arrays))
    sender.start()
    got = second.receive()[1]
    sender.join()
    return got


LARGE = np.arange(1 << 16, dtype=np.float32).reshape(256, 256)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="no such memory elsewhere")


def test_large_arrays_arrive_as_they_were_sent():
    sent = [LARGE, LARGE.T, LARGE[::2], np.asfortranarray(LARGE), np.ones((0, 1 << 20))]
    with _ends() as ends:
        got = _sent(*ends, [*sent, np.ones(3)])
    assert all(map(np.array_equal, got, [*sent, np.ones(3)]))


@on_linux
def test_what_goes_on_is_not_written_again(monkeypatch):
    with _ends() as (worker, judge), _ends() as (asking, other):
        (judged,) = _sent(worker, judge, [LARGE])
        with pytest.raises(ValueError, match="read-only"):
            judged[0, 0] = 7
        monkeypatch.setattr(Arena, "written", lambda *_: pytest.fail("written again"))
        part = judged.reshape(-1)[1 << 14 :]
        got = _sent(asking, other, [judged, part])
        assert np.array_equal(got[0], LARGE) and np.array_equal(got[1], part)
        # read by a third process, it stays though nobody here has it any more
        del judged, part
        _sent(judge, worker, [])
        assert len(worker.lent) == 1
        del got
        _sent(other, asking, [])
        _sent(judge, worker, [])
        assert not worker.lent


@on_linux
def test_what_was_changed_or_turned_is_written_again():
    with _ends() as (worker, judge), _ends() as (asking, other):
        (judged,) = _sent(worker, judge, [LARGE])
        changed = judged.copy()
        changed[0, 0] = 7
        got = _sent(asking, other, [changed, judged.T])
        assert got[0][0, 0] == 7 and np.array_equal(got[1], LARGE.T)


@on_linux
def test_memory_is_used_again_and_no_array_that_is_read_changes():
    with _ends() as (worker, judge):
        kept = _sent(worker, judge, [LARGE])[0]
        for number in range(3000):  # 750 MB in all
            size = (number % 7 + 1) << 14
            got = _sent(worker, judge, [np.full(size, number, np.float32)])[0]
            assert got[0] == got[-1] == number
            _sent(judge, worker, [])
        assert np.array_equal(kept, LARGE)
        assert len(worker.arena.free) == 1
        del kept, got
        _sent(judge, worker, [])
        (holes,) = worker.arena.free.values()
        assert len(holes) == 1 and not worker.lent


@on_linux
def test_an_array_larger_than_a_chunk_gives_its_memory_back(monkeypatch):
    monkeypatch.setattr(shared_memory, "CHUNK", 1 << 17)
    monkeypatch.setattr(shared_memory, "KEPT", 1 << 17)
    with _ends() as (worker, judge):
        got = _sent(worker, judge, [LARGE, LARGE])
        del got
        _sent(judge, worker, [])
        assert [os.fstat(own.number).st_blocks for own in worker.arena.free] == [0, 0]
        again = _sent(worker, judge, [LARGE + 1])[0]
        assert np.array_equal(again, LARGE + 1)


def test_arrays_cross_where_there_is_no_memory_for_both(monkeypatch):
    monkeypatch.setattr(shared_memory, "AVAILABLE", False)
    with _ends() as ends:
        got = _sent(*ends, [LARGE, np.ones(3)])
    assert np.array_equal(got[0], LARGE)


@on_linux
def test_no_descriptor_is_left_behind():
    before = len(os.listdir("/proc/self/fd"))
    with _ends() as ends:
        got = _sent(*ends, [np.full(1 << 24, number, np.float32) for number in range(3)])
        assert len(os.listdir("/proc/self/fd")) > before
    assert [own[-1] for own in got] == [0, 1, 2]  # arrays outlive their connection
    del got, ends
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@on_linux
@pytest.mark.parametrize("where", [[0, 0, 0], [5, 0, 0], [0, -4, 0]])
def test_an_array_beyond_its_memory_is_no_message(where):
    with _ends() as (worker, judge), os.fdopen(os.memfd_create("test"), "wb") as short:
        short.write(b"0" * 10)
        short.flush()
        header = json.dumps([None, [["<f4", [100], where]], [], 1]).encode()
        socket.send_fds(worker.socket, [channel.LENGTH.pack(len(header))], [short.fileno()])
        worker.socket.sendall(header)
        with pytest.raises(Closed, match="an array did not arrive"):
            judge.receive()
