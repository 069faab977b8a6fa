"""Another interpreter, seen from here: started, greeted, asked, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from padiff_graph.capture.remote.channel import Channel, Closed
from padiff_graph.capture.remote.client import Client
from padiff_graph.errors import UsageError
from padiff_graph.sides.side import PATIENCE
from padiff_graph.version import __version__

__all__ = ["WorkerProcess"]

PARTING = 5.0
"""Seconds that a process has to end by itself once its connection is closed."""
POLL = 0.02
"""Seconds between two looks; chosen so that a check does not feel it."""
REMEMBERED = 20
"""Last lines of what the process said, to tell why it could not start."""


class WorkerProcess(Client):
    """Another interpreter that holds one model.

    Args:
        python: the interpreter.
        name: of the side, for messages.
        timeout: seconds that an answer may take.
        greeted: whether it is waited for; else `open` does, so that several start side by side.

    Raises:
        UsageError: it cannot be started, or holds another version of this package.
    """

    def __init__(
        self, python: str, name: str, timeout: float = PATIENCE, *, greeted: bool = True
    ) -> None:
        here, there = socket.socketpair()
        here.settimeout(PATIENCE)  # to start takes as long as it takes
        self.timeout = timeout
        super().__init__(Channel(here), name)
        self.python = python
        self.said: deque[str] = deque(maxlen=REMEMBERED)
        with there:
            self.process = subprocess.Popen(
                [python, "-m", "padiff_graph.sides.worker", str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt is for who asks; that ends this one
            )
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        if greeted:
            self._greet()

    def end(self) -> None:
        """Ends the process, by force where it does not end by itself."""
        if self.ended:  # its number may be another one's by now
            return
        self.ended = True
        super().end()
        _ended_by_itself(self.process.pid)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # with what the model started
        self.process.wait()
        self.reader.join(PARTING)

    def why_ended(self) -> str:
        """By what the process ended."""
        try:
            code = self.process.wait(PARTING)
        except subprocess.TimeoutExpired:
            return ""
        if code == -signal.SIGKILL:
            return "it was killed (signal 9), for want of memory most likely"
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with exit code {code}"

    def _listen(self) -> None:
        """Hands on what the process prints, to standard error."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode(errors="replace")
            self.said.append(text.strip())
            if self.greeted:
                sys.stderr.write(text)

    greeted = False
    ended = False

    def _greet(self) -> None:
        assert self.connection is not None
        try:
            greeting, _ = self.connection.receive()
        except (Closed, TimeoutError):
            self.end()
            raise UsageError(
                f"{self.name}: {self.python} could not start; it says: {self._last_words()}"
            ) from None
        if greeting != __version__:
            self.end()
            raise UsageError(
                f"{self.name}: padiff-graph is {greeting} in {self.python} and {__version__} here; "
                "install the same version in both"
            )
        self.greeted = True
        self.connection.socket.settimeout(self.timeout)

    def _last_words(self) -> str:
        words = [line for line in self.said if line]
        if words and words[-1].endswith("No module named padiff_graph"):
            return f"{words[-1]}; install padiff-graph there"
        return words[-1] if words else self.why_ended() or "nothing"

    def open(self, target: str, weights: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Has the other interpreter make its model.

        Args:
            target, weights: as of `Side`.

        Returns:
            "model", "inputs", "loss" and "optimizer", each None where there is none.

        Raises:
            UsageError: the target is no function, or returns something else; or as of the class.
            SideEndedError: the process ended.
        """
        if not self.greeted:
            self._greet()
        try:
            opened: dict[str, Any] = self.ask(
                "open", target, None if weights is None else os.path.abspath(weights)
            )
        except ValueError as error:
            raise UsageError(f"{self.name}: {error}") from None
        return opened


def _ended_by_itself(process: int) -> None:
    """Waits a while for the end of a process; its number stays taken, so that it names its group
    for certain."""
    last = time.monotonic() + PARTING
    with suppress(ChildProcessError):  # it was waited for before
        while time.monotonic() < last:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(POLL)
