"""What crosses between two processes comes out as it went in, and nothing else is read."""

from __future__ import annotations

import json
import math
import socket
import threading
from importlib import import_module

import numpy as np
import pytest

from padiff_graph.capture.graph import Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.remote.channel import Closed, receive, send
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
    here, there = socket.socketpair()
    buffers = []
    message = encode(value, buffers, _stays)
    with here, there:
        sender = threading.Thread(target=send, args=(here, message, buffers))
        sender.start()
        got = receive(there)
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
            receive(there)


def test_a_header_beyond_all_bounds_is_no_message():
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"\xff" * 8)
        with pytest.raises(Closed, match="is no message"):
            receive(there)


def test_the_header_is_plain_json():
    buffers = []
    message = encode({"x": [1.5, math.nan, np.ones(2)]}, buffers, _stays)
    assert json.loads(json.dumps(message, allow_nan=False)) == message and len(buffers) == 1
