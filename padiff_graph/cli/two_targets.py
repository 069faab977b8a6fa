"""Two models on the command line: a pair by one function, or each by its own, in an interpreter of
its own where it needs one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

__all__ = ["Targets", "example_of", "two_targets"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Targets:
    """What names the two models.

    Attributes:
        pair: the function of a pair, or of the first model.
        second: that of the second model; None for a pair.
        pythons: the interpreters of both; None for this one.
        weights: the files of both models' weights; None where they are in memory.
        inputs: a file of inputs for both.
        timeout: seconds that one answer of an interpreter may take; None for the usual.
    """

    pair: str
    second: str | None
    pythons: tuple[str | None, str | None]
    weights: tuple[str | None, str | None]
    inputs: str | None
    timeout: float | None = None

    @property
    def named(self) -> list[str]:
        """The functions that are named."""
        return [target for target in (self.pair, self.second) if target is not None]

    @property
    def elsewhere(self) -> bool:
        """Whether a model lives in another interpreter or a recording, or its weights in files."""
        recorded = any(target.endswith(".pgref") for target in self.named)
        return any(self.pythons) or any(self.weights) or recorded

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
                "layer": _side(self.pair, self.pythons[0], self.weights[0], self.timeout),
                "module": _side(self.second, self.pythons[1], self.weights[1], self.timeout),
                "example_inp": None if example is None else (example, example),
            }
        if any((self.inputs, self.timeout, *self.pythons, *self.weights)):
            raise UsageError(
                "--first-python, --second-python, --first-weights, --second-weights, --inputs and "
                "--side-timeout go with two targets, one for each model; for example "
                "first.py:build second.py:build"
            )
        return load_pair(self.pair)


def two_targets(command: Command) -> Command:
    """The arguments that name two models; handed on as `targets`."""

    @wraps(command)
    def taken(
        pair: str,
        second: str | None,
        first_python: str | None,
        second_python: str | None,
        first_weights: str | None,
        second_weights: str | None,
        inputs: str | None,
        side_timeout: float | None,
        **options: Any,
    ) -> Any:
        pythons, weights = (first_python, second_python), (first_weights, second_weights)
        targets = Targets(pair, second, pythons, weights, inputs, side_timeout)
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
        click.option("--second-python", metavar="PYTHON", help="the second model's interpreter"),
        click.option("--first-python", metavar="PYTHON", help="the first model's interpreter"),
        click.argument("second", required=False, metavar="[SECOND]"),
        click.argument("pair"),
    ):
        taken = option(taken)
    return taken  # type: ignore[return-value]


def _side(target: str, python: str | None, weights: str | None, timeout: float | None) -> Any:
    from padiff_graph.errors import UsageError
    from padiff_graph.sides.recording_file import SUFFIX
    from padiff_graph.sides.side import PATIENCE, Side

    if not target.endswith((".onnx", SUFFIX)):
        waits = PATIENCE if timeout is None else timeout
        return Side(target, python, weights=weights, timeout=waits)
    if python is not None or weights is not None:
        raise UsageError(f"{target} is a file; it needs no interpreter and no weights of its own")
    return target


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
