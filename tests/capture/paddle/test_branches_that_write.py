"""Branches on a tensor that write one tensor in place: refused, and no end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import paddle
from padiff_graph.capture.paddle.trace import trace


class Experts(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.experts = paddle.nn.LayerList([paddle.nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x):
        out = paddle.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = paddle.nonzero(x[:, number] > 0).reshape([-1])
            if rows.numel() == 0:
                rows = paddle.zeros([1], "int64")
                out.index_add_(rows, 0, expert(x[rows] * 0))
            else:
                out.index_add_(rows, 0, expert(x[rows]))
        return out


paddle.seed(0)
graph = trace(Experts().train(), {"x": paddle.randn([5, 4])})
print("captured", graph.decided)
"""


def test_both_branches_write_one_tensor(tmp_path):
    script = tmp_path / "program.py"  # a file: lines of a branch are told by it
    script.write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "captured True" in ran.stdout
