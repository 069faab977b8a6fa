"""The line that is shown while a check takes long: on a terminal, and nowhere else."""

import os
import pty
import re
import select
import subprocess
import sys
import time

from padiff_graph.progress import Steps, shown

SCRIPT = """
import sys, time
from padiff_graph.progress import shown
streams = sys.stdout, sys.stderr
with shown("capture and matching") as steps:
    print("the model's own words", flush=True)
    time.sleep(0.3)
    steps.step("regions")
    for number in range(3):
        steps.at(number, 3, "layer1.0.conv1")
        time.sleep(0.2)
    assert streams == (sys.stdout, sys.stderr)
print("answer")
"""


def on_a_terminal(script: str, kind: str = "xterm") -> str:
    parent, child = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=child,
        stderr=child,
        env={**os.environ, "TERM": kind, "COLUMNS": "80"},
    )
    os.close(child)
    seen = b""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if not select.select([parent], [], [], 0.2)[0]:
            if running.poll() is not None:
                break
            continue
        try:
            part = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(parent)
    assert running.wait(10) == 0, seen.decode()
    return seen.decode()


def test_a_terminal_shows_step_and_place():
    seen = on_a_terminal(SCRIPT)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert "capture and matching" in plain
    assert re.search(r"regions .*1 of 3 .*layer1\.0\.conv1", plain)
    assert "the model's own words" in plain
    assert plain.rstrip().endswith("answer")
    assert seen.rindex("\x1b[2K") > seen.rindex("layer1.0.conv1"), "the line is taken away"


def test_a_dumb_terminal_and_a_log_file_show_nothing():
    assert on_a_terminal(SCRIPT, "dumb").split() == ["the", "model's", "own", "words", "answer"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["the", "model's", "own", "words", "answer"], "")


def test_steps_without_watchers_do_nothing():
    with shown("something") as steps:
        assert steps == Steps()
        steps.step("more")
        steps.at(1, 2)
