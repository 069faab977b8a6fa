"""Both frameworks compute on as many threads while a check runs, and as before afterwards."""

import paddle
import pytest
import torch

import padiff_graph as pg
from padiff_graph.capture.paddle import internals
from padiff_graph.capture.paddle import state as paddle_state
from padiff_graph.capture.torch import state as torch_state
from padiff_graph.check.threads import alike
from tests.models.breakable_pairs import batch

needs_openmp = pytest.mark.skipif(
    internals.threads() == 0,
    reason="this build of Paddle has no OpenMP library of its own, so its threads cannot be told",
)


@pytest.fixture
def apart():
    """Paddle on one thread, torch on two."""
    before = paddle_state.threads(), torch_state.threads()
    with paddle_state.threaded(1), torch_state.threaded(2):
        yield
    assert (paddle_state.threads(), torch_state.threads()) == before


@needs_openmp
def test_the_larger_number_counts_for_both(apart):
    with alike(("paddle", "torch")):
        assert (paddle_state.threads(), torch_state.threads()) == (2, 2)
    assert (paddle_state.threads(), torch_state.threads()) == (1, 2)


@needs_openmp
def test_one_thread_asked_of_both_stays_one():
    with paddle_state.threaded(1), torch_state.threaded(1), alike(("paddle", "torch")):
        assert (paddle_state.threads(), torch_state.threads()) == (1, 1)


class Counted(paddle.nn.Layer):
    def __init__(self, fails=False):
        super().__init__()
        self.fc = paddle.nn.Linear(4, 4)
        self.fails = fails

    def forward(self, x):
        if self.fails:
            raise RuntimeError("the model's own error")
        return self.fc(x)


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x)


@needs_openmp
@pytest.mark.parametrize("fails", [False, True])
def test_a_check_runs_so_and_puts_it_back(apart, fails):
    layer = Counted(fails)
    counts = []
    hook = layer.register_forward_pre_hook(lambda *_: counts.append(paddle_state.threads()))
    example = batch(2, 4)
    if fails:
        with pytest.raises(RuntimeError, match="own error"):
            pg.compare(layer, Plain(), example)
    else:
        assert pg.compare(layer, Plain(), example, options={"rtol": 1e-3, "atol": 1e-5}).passed
    hook.remove()
    assert counts and set(counts) == {2}
    assert (paddle_state.threads(), torch_state.threads()) == (1, 2)
