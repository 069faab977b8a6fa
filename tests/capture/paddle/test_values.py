"""Large tensors, whose memory numpy looks at, are copied and compared like small ones."""

import numpy as np
import paddle
import pytest

from padiff_graph.capture.paddle import values
from padiff_graph.capture.paddle.engine import PaddleEngine

SIZES = (3, values.LARGE)


@pytest.mark.parametrize("size", SIZES)
def test_numbers_are_a_copy(size):
    tensor = paddle.arange(size, dtype="float32")
    array, other = values.array(tensor), values.copied(tensor)
    tensor[0] = 5.0
    assert array[0] == 0.0 and array.flags.writeable
    assert float(other[0]) == 0.0 and other.stop_gradient
    np.testing.assert_array_equal(values.array(other), array)


@pytest.mark.parametrize("size", SIZES)
def test_numbers_in_another_order_are_read_in_order(size):
    turned = paddle.arange(2 * size, dtype="float32").reshape([2, size]).t()
    np.testing.assert_array_equal(values.array(turned), turned.numpy())


@pytest.mark.parametrize("dtype", ["float32", "int64", "float16", "bool"])
@pytest.mark.parametrize("size", SIZES)
def test_one_other_number_shows(size, dtype):
    tensor = paddle.ones([size]).astype(dtype)
    other = values.copied(tensor)
    assert other.dtype == tensor.dtype and values.array(other).dtype == np.dtype(dtype)
    assert values.same(tensor, other)
    other[size - 1] = 0
    assert not values.same(tensor, other)


def test_nan_is_like_none():
    tensor = paddle.full([values.LARGE], float("nan"))
    assert not values.same(tensor, tensor)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 3), (256, 256)])
def test_hooks_of_large_parameters_show(shape, dtype):
    layer = paddle.nn.Linear(*shape).astype(dtype)
    engine = PaddleEngine(layer)
    assert not engine.hooked_parameters()
    layer.weight.register_hook(lambda gradient: gradient.clip(max=0.5))
    assert engine.hooked_parameters() == {"weight"}
    assert layer.weight.grad is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 3), (256, 256)])
def test_hooks_of_a_layer_that_was_cast_show(shape, dtype):
    layer = paddle.nn.Linear(*shape)
    layer.to(dtype=dtype)
    engine = PaddleEngine(layer)
    assert not engine.hooked_parameters()
    layer.weight.register_hook(lambda gradient: gradient * 2)
    assert engine.hooked_parameters() == {"weight"}
