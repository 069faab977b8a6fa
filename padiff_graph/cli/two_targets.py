"""Two models on the command line: a pair by one function, or each by its own, in an interpreter of
its own where it needs one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

__all__ = ["Targets", "example_of", "two_targets"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Where:
    """Where one of two models lives.

    Attributes:
        python: its interpreter; None for this one.
        ray: a Ray actor's options as JSON; None for no actor.
        weights: the files of its weights; None where they are in memory.
    """

    python: str | None = None
    ray: str | None = None
    weights: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether anything but this process is named."""
        return any(part is not None for part in (self.python, self.ray, self.weights))


@dataclass(frozen=True)
class Targets:
    """What names the two models.

    Attributes:
        pair: the function of a pair, or of the first model.
        second: that of the second model; None for a pair.
        where: where each of two models lives.
        inputs: a file of inputs for both.
        timeout: seconds that one answer of an interpreter may take; None for the usual.
    """

    pair: str
    second: str | None
    where: tuple[Where, Where]
    inputs: str | None
    timeout: float | None = None

    @property
    def named(self) -> list[str]:
        """The functions that are named."""
        return [target for target in (self.pair, self.second) if target is not None]

    @property
    def elsewhere(self) -> bool:
        """Whether a model lives in another interpreter, an actor or a recording, or its weights in
        files."""
        recorded = any(target.endswith(".pgref") for target in self.named)
        return recorded or any(where.elsewhere for where in self.where)

    def load_here(self) -> dict[str, Any]:
        """`compare`'s parameters, models of this process in place of sides where they can be.

        Raises:
            UsageError: as `load`.
        """
        arguments = self.load()
        if self.second is None or self.elsewhere:
            return arguments
        from padiff_graph.sides.opened import opened_here

        return opened_here(arguments["layer"], arguments["module"], arguments["example_inp"])

    def load(self) -> dict[str, Any]:
        """`compare`'s parameters.

        Raises:
            UsageError: what is named is not there, or returns something else.
        """
        from padiff_graph.cli.targets import load_pair
        from padiff_graph.errors import UsageError

        if self.second is not None:
            example = None if self.inputs is None else example_of(self.inputs)
            return {
                "layer": _side(self.pair, self.where[0], self.timeout),
                "module": _side(self.second, self.where[1], self.timeout),
                "example_inp": None if example is None else (example, example),
            }
        if self.inputs or self.timeout or any(where.elsewhere for where in self.where):
            raise UsageError(
                "--first-python, --second-python, --first-ray, --second-ray, --first-weights, "
                "--second-weights, --inputs and --side-timeout go with two targets, one for each "
                "model; for example first.py:build second.py:build"
            )
        return load_pair(self.pair)


def two_targets(command: Command) -> Command:
    """The arguments that name two models; handed on as `targets`."""

    @wraps(command)
    def taken(
        pair: str,
        second: str | None,
        inputs: str | None,
        side_timeout: float | None,
        **options: Any,
    ) -> Any:
        where = [
            Where(*(options.pop(f"{side}_{part}") for part in ("python", "ray", "weights")))
            for side in ("first", "second")
        ]
        targets = Targets(pair, second, (where[0], where[1]), inputs, side_timeout)
        return command(targets=targets, **options)

    for option in (
        click.option(
            "--side-timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="how long one answer of an interpreter may take (default 1800)",
        ),
        click.option("--inputs", metavar="FILE.npz", help="inputs of both models, by name"),
        click.option("--second-weights", metavar="PATH", help="the second model's, likewise"),
        click.option(
            "--first-weights",
            metavar="PATH",
            help="read the first model's weights from .safetensors files as they are used: a file, "
            "an .index.json or a folder",
        ),
        click.option("--second-ray", metavar="JSON", help="the second model's, likewise"),
        click.option(
            "--first-ray",
            metavar="JSON",
            help="the first model lives in a Ray actor with these options, {} for none",
        ),
        click.option("--second-python", metavar="PYTHON", help="the second model's interpreter"),
        click.option("--first-python", metavar="PYTHON", help="the first model's interpreter"),
        click.argument("second", required=False, metavar="[SECOND]"),
        click.argument("pair"),
    ):
        taken = option(taken)
    return taken  # type: ignore[return-value]


def _side(target: str, where: Where, timeout: float | None) -> Any:
    from padiff_graph.errors import UsageError
    from padiff_graph.sides.recording_file import SUFFIX
    from padiff_graph.sides.side import PATIENCE, Side

    if not target.endswith((".onnx", SUFFIX)):
        waits = PATIENCE if timeout is None else timeout
        ray = None if where.ray is None else _settings(where.ray)
        return Side(target, where.python, ray, where.weights, waits)
    if where.elsewhere:
        raise UsageError(
            f"{target} is a file; it needs no interpreter, no actor and no weights of its own"
        )
    return target


def _settings(text: str) -> dict[str, Any]:
    """A Ray actor's options.

    Raises:
        UsageError: they are no JSON object.
    """
    from padiff_graph.errors import UsageError

    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise UsageError(
            "--first-ray and --second-ray are a JSON object of an actor's options, as "
            f"'{{\"num_gpus\": 1, \"actors\": 2}}' or '{{}}'; found {text!r}"
        )
    return settings


def example_of(path: str) -> dict[str, Any]:
    """The arrays of an .npz file by name, or the inputs of a recording.

    Raises:
        UsageError: the file cannot be read.
    """
    from padiff_graph.errors import UsageError
    from padiff_graph.file_reading import UnreadableFile, load_arrays
    from padiff_graph.sides.recorded_model import opened_model
    from padiff_graph.sides.recording_file import SUFFIX, Recording

    if path.endswith(SUFFIX):
        return opened_model(Recording(path)).example()

    try:
        named = load_arrays(path)
    except UnreadableFile as error:
        raise UsageError(
            f"--inputs: expected a file as numpy.savez writes it; {path} cannot be read: {error}"
        ) from None
    if "" in named:
        raise UsageError(f"--inputs: expected a file as numpy.savez writes it; {path} is one array")
    return named
