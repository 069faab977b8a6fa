"""The ladder of ways to capture a Paddle layer: which one is taken, and what it leaves behind."""

import sys

import numpy as np
import paddle
import pytest
from paddle.jit.dy2static import convert_call_func, program_translator

from padiff_graph.capture.capture_errors import CaptureError
from padiff_graph.capture.paddle.trace import RUNGS, trace

NN = paddle.nn
PLAIN, TRANSFORMED, OWN_CODE, EXAMPLE = (rung.name for rung in RUNGS)


def ones(*shape):
    return paddle.ones(list(shape))


class Block(NN.Layer):
    def __init__(self):
        super().__init__()
        self.fc = NN.Linear(4, 4)

    def forward(self, x):
        y = self.fc(x)
        if self.training:
            y = y * 2
        return y


class Straight(NN.Layer):
    def __init__(self):
        super().__init__()
        self.blocks = NN.LayerList([Block() for _ in range(4)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        first, _ = x
        return first, len(x), [row.sum() for row in x]


class Counted(Block):
    def forward(self, x, count):
        return self.fc(x) * count.astype("float32") + int(count)


class Branching(Block):
    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else x


class Selecting(Block):
    def forward(self, x):
        kept = paddle.nonzero(x)
        return self.fc(x) / kept.shape[0]


@pytest.mark.parametrize(
    ("model", "example", "rung"),
    [
        (Straight, {"x": ones(2, 4)}, PLAIN),
        (Counted, {"x": ones(2, 4), "count": paddle.to_tensor(3)}, TRANSFORMED),
        (Branching, {"x": ones(2, 4)}, EXAMPLE),
    ],
)
def test_the_first_rung_that_loses_nothing_is_taken(model, example, rung):
    graph = trace(model(), example)
    assert graph.session.rung == rung
    lost = [note for note in graph.notes if note.startswith("not captured by")]
    assert len(lost) == (2 if rung == EXAMPLE else 0)
    assert not any(PLAIN in note for note in graph.notes)


def test_a_shape_that_depends_on_numbers_is_not_read_as_it_stands():
    graph = trace(Selecting(), {"x": ones(2, 4)})
    assert graph.session.rung != PLAIN


def test_the_forward_as_written_captures_what_the_transform_does():
    example = {"x": ones(2, 4)}
    plain = trace(Straight(), example)
    transformed = trace(Straight(), example, below=PLAIN)
    assert transformed.session.rung == TRANSFORMED

    def told(graph):
        return [(node.op, node.path, node.source) for node in graph.of_kind("operation")]

    assert sorted(told(plain)) == sorted(told(transformed))


def test_rungs_below_the_last_are_none():
    with pytest.raises(CaptureError, match="could not be captured"):
        trace(Straight(), {"x": ones(2, 4)}, below=EXAMPLE)


def test_a_refusal_tells_every_way_that_would_lose_something():
    class Broken(Block):
        def forward(self, x):
            return paddle.matmul(paddle.concat([x, x], axis=1), self.fc.weight)

    with pytest.raises(CaptureError, match=r"test_trace\.py") as caught:
        trace(Broken(), {"x": ones(2, 4)})
    assert [name for name, _ in caught.value.attempts] == [TRANSFORMED, OWN_CODE, EXAMPLE]


class ModelConfig:
    """A plain object with methods, as transformers' configurations are."""

    width = 4

    def get(self, name):
        return getattr(self, name)


class Configured(Block):
    def __init__(self):
        super().__init__()
        self.config = ModelConfig()

    def forward(self, x):
        y = self.fc(x) * self.config.get("width")
        return y if y.sum() > 0 else y * 2


def test_each_function_is_transformed_once_and_configurations_not_at_all(monkeypatch):
    transformed = []
    plain = program_translator.FunctionCache._convert

    def convert(self, function):
        transformed.append(function.__qualname__)
        return plain(self, function)

    monkeypatch.setattr(program_translator.FunctionCache, "_convert", convert)
    trace(Straight(), {"x": ones(2, 4)}, below=PLAIN)
    assert sorted(transformed) == ["Block.forward", "Straight.forward"]
    transformed.clear()
    trace(Configured(), {"x": ones(2, 4)})
    assert "ModelConfig.get" not in transformed and "Configured.forward" in transformed


def test_the_transform_is_as_it_was_afterwards():
    before = (
        convert_call_func.is_unsupported,
        list(convert_call_func.BUILTIN_LIKELY_MODULES),
        vars(program_translator._FUNCTION_CACHE).keys() - {"_code_to_ast_caches"},
    )
    trace(Configured(), {"x": ones(2, 4)})
    after = (
        convert_call_func.is_unsupported,
        list(convert_call_func.BUILTIN_LIKELY_MODULES),
        vars(program_translator._FUNCTION_CACHE).keys() - {"_code_to_ast_caches"},
    )
    assert after == before


def test_no_tensor_among_the_inputs_is_said():
    with pytest.raises(CaptureError, match=r"no Paddle tensor \(found x: ndarray\)"):
        trace(Block(), {"x": np.ones((2, 4))})


@pytest.mark.parametrize("limit", [None, 1000])
def test_how_much_python_shows_of_a_traceback_is_the_users_own(monkeypatch, limit):
    monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
    if limit is None:
        monkeypatch.delattr(sys, "tracebacklimit")
    graph = trace(Block(), {"x": ones(2, 4)})
    assert getattr(sys, "tracebacklimit", None) == limit
    assert all(record.source for record in graph.records() if record.op == "pd_op.matmul")
