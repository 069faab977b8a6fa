"""What runs in a Ray actor: one model, and answers to questions about it. Ray need not be imported
here; it makes an actor of the class."""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np

from padiff_graph.capture.engine import Array
from padiff_graph.capture.remote.service import Service
from padiff_graph.sides.worker import failed, opened
from padiff_graph.version import __version__

__all__ = ["SideActor"]


class SideActor:
    """Holds one model. The first question makes it."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.service: Service | None = None

    def version(self) -> str:
        """Of this package."""
        return __version__

    def answer(self, header: str, arrays: list[Array]) -> tuple[str, list[Array]]:
        """The answer to one question, as `padiff_graph.capture.remote.wire` writes both.

        Args:
            header: JSON.
            arrays: that it names; Ray's own are read only.
        """
        message, own = json.loads(header), [np.array(array) for array in arrays]
        if self.service is None:
            self.service, answer = opened(message, own, self.stack)
            return json.dumps(answer, allow_nan=False), []
        answer, buffers = self.service.answered(message, own, failed)
        return json.dumps(answer, allow_nan=False), [np.asarray(array) for array in buffers]
