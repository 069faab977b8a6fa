"""What is written to the terminal during a capture: the model's own words, and not Paddle's."""

import subprocess
import sys

import pytest

pytest.importorskip("paddle")

SCRIPT = """
import ctypes, sys
import paddle
from padiff_graph.capture.api import capture_graph

class Talking(paddle.nn.Layer):
    def forward(self, x):
        print("the model's own words", file=sys.stderr)
        return paddle.add(x.mean(axis=[1], keepdim=True), x)

library = ctypes.CDLL(paddle.base.libpaddle.__file__)
level = ctypes.c_int.in_dll(library, "_ZN3fLI17FLAGS_minloglevelE")
before = level.value
graph = capture_graph(Talking(), {"x": paddle.ones([2, 4])})
assert graph.certificate.valid
assert level.value == before and paddle.in_dynamic_mode()
assert paddle.utils.unique_name.generate("name") == "name_0"
"""


def test_paddle_keeps_its_logs_to_itself():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = {line for line in done.stderr.splitlines() if line.strip()}
    assert lines == {"the model's own words"}
