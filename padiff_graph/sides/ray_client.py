"""A Ray actor that holds one model, seen from here: placed, asked, ended. Ray is imported where a
side asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from padiff_graph.capture.remote.client import Client
from padiff_graph.capture.remote.errors import SideEndedError
from padiff_graph.capture.remote.wire import Buffers
from padiff_graph.errors import UsageError
from padiff_graph.sides.ray_actor import SideActor
from padiff_graph.sides.side import PATIENCE
from padiff_graph.version import __version__

__all__ = ["RayClient"]

PLACING = 600.0
"""Seconds that Ray has to place an actor and make its environment; chosen so that a framework may
be installed meanwhile."""
HERE = {"include_dashboard": False, "logging_level": "warning"}
"""How a local Ray is started where none runs and no address is named."""


class RayClient(Client):
    """A Ray actor of its own for one side.

    Args:
        settings: "address" of a cluster, the one that is connected or a local one where there is
            none; "actors", over how many of them the regions of the side are spread, 1 by itself;
            the rest are the actor's own options ("runtime_env", "num_cpus", "num_gpus",
            "resources", ...).
        name: of the side, for messages.

    Raises:
        UsageError: Ray is not installed, the actor cannot be placed, or its environment holds
            another version of this package.
    """

    def __init__(self, settings: Mapping[str, Any], name: str, timeout: float = PATIENCE) -> None:
        super().__init__(None, name)
        self.timeout = timeout
        self.ray = _ray()
        options = dict(settings)
        address = options.pop("address", None)
        actors = _actors(options.pop("actors", 1))
        self.ours = not self.ray.is_initialized()
        if self.ours:
            self.ray.init(address=address, **({} if address else HERE))
        self.uploads = "working_dir" in (options.get("runtime_env") or {})
        self.actor: Any = None
        self.helping: tuple[RayClient, ...] = ()
        try:
            self.actor = self.ray.remote(SideActor).options(**options).remote()
            version = self.ray.get(self.actor.version.remote(), timeout=PLACING)
        except Exception as error:  # whatever of Ray's: settings, resources, environments
            self.end()
            raise UsageError(
                f"{name}: no Ray actor could be placed: {_first_line(error)}"
            ) from None
        if version != __version__:
            self.end()
            raise UsageError(
                f"{name}: padiff-graph is {version} in the actor's environment and {__version__} "
                "here; install the same version in both"
            )
        try:
            self.helping = tuple(
                RayClient(options, f"{name}, actor {number}", timeout)
                for number in range(2, actors + 1)
            )
        except BaseException:
            self.end()
            raise
        self.helpers = self.helping

    def open(self, target: str, weights: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Has the actor make its model.

        Args:
            target, weights: as of `Side`; a file's path is the same there, below "working_dir"
                where the environment has one.

        Raises:
            UsageError: the target is no function, or returns something else.
            SideEndedError: the actor ended.
        """
        file, colon, function = target.rpartition(":")
        if file.endswith(".py") and not self.uploads:
            target = f"{os.path.abspath(file)}{colon}{function}"
        files = None if weights is None else os.path.abspath(weights)
        with ThreadPoolExecutor(1 + len(self.helping)) as pool:
            helping = [pool.submit(helper.open, target, weights) for helper in self.helping]
            try:
                opened: dict[str, Any] = self.ask("open", target, files)
            except ValueError as error:
                raise UsageError(f"{self.name}: {error}") from None
        for helper, answer in zip(self.helping, helping, strict=True):
            helper.model = answer.result()["model"]
        return opened

    @property
    def there(self) -> bool:
        """Whether there is somebody to ask."""
        return self.actor is not None

    def close(self) -> None:
        """Ends the actor."""
        actor, self.actor = self.actor, None
        if actor is not None and self.ray.is_initialized():
            self.ray.kill(actor)

    def break_off(self) -> None:
        """Ends the actor from another thread than the one that waits for an answer."""
        self.reason = "a question to it was broken off"
        self.close()

    def end(self) -> None:
        """Ends the actor, and Ray where it was started for it."""
        for helper in self.helping:
            helper.end()
        super().end()
        if self.ours and self.ray.is_initialized():
            self.ray.shutdown()

    def _exchanged(self, message: Any, buffers: Buffers) -> tuple[Any, Buffers]:
        if self.actor is None:
            raise SideEndedError(f"{self.name} is not there any more: {self.reason}")
        asked = json.dumps(message, allow_nan=False), [np.asarray(array) for array in buffers]
        try:
            header, arrays = self.ray.get(self.actor.answer.remote(*asked), timeout=self.timeout)
            return json.loads(header), [np.array(array) for array in arrays]
        except self.ray.exceptions.GetTimeoutError:
            self.reason = f"it did not answer for {self.timeout:g} seconds"
        except self.ray.exceptions.RayError as error:
            self.reason = _first_line(error)
        except BaseException:
            self.break_off()
            raise
        self.close()
        raise SideEndedError(f"{self.name} stopped: {self.reason}")


def _actors(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise UsageError(f"Side: 'actors' in ray is a whole number from 1 on; found {number!r}")
    return number


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UsageError("Side: ray is not installed; pip install 'padiff-graph[ray]'") from None
    return ray


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
