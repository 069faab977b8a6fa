"""Timings of a check: a step's own seconds, without those of steps inside it."""

from __future__ import annotations

import time

from padiff_graph.check.check_log import CheckLog


def test_a_step_inside_another_counts_for_itself_only() -> None:
    log = CheckLog()
    with log.timed("outer"):
        time.sleep(0.02)
        for _ in range(2):
            with log.timed("inner"):
                time.sleep(0.05)
    assert list(log.timings) == ["inner", "outer"]
    assert log.timings["inner"] >= 0.1
    assert 0.02 <= log.timings["outer"] < 0.1


def test_a_step_that_fails_is_counted_too() -> None:
    log = CheckLog()
    try:
        with log.timed("step"):
            raise ValueError
    except ValueError:
        assert log.timings["step"] >= 0
