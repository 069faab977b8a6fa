"""What a command that compares is asked: the options of `compare`, the map, the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from padiff_graph.cli.options import load_map, map_option

if TYPE_CHECKING:
    from padiff_graph.cli.two_targets import Targets

__all__ = ["Asked", "check_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def by_name(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> dict[str, tuple[float, float]] | None:
    """Tolerances by name; None where none was named."""
    named: dict[str, tuple[float, float]] = {}
    for value in values:
        name, _, numbers = value.rpartition("=")
        try:
            atol, rtol = map(float, numbers.split(","))
        except ValueError:
            name = ""
        if not name:
            raise click.BadParameter(
                f"expected NAME=ATOL,RTOL, as 'logits*=1e-5,1e-4'; found {value!r}", ctx, param
            )
        named[name] = (atol, rtol)
    return named or None


def number_or_files(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Any:
    """A number, or two files; None where nothing was given."""
    if not values:
        return None
    if len(values) == 2:
        return tuple(values)
    try:
        (number,) = values
        return float(number)
    except ValueError:
        raise click.BadParameter(
            "expected a number, or --observed FIRST --observed SECOND for two files; found "
            f"{', '.join(values)}",
            ctx,
            param,
        ) from None


OPTIONS = (
    map_option,
    click.option("--atol", type=float, help="absolute tolerance (default 0)"),
    click.option("--rtol", type=float, help="relative tolerance (default 1e-7)"),
    click.option(
        "--tolerance",
        "tolerances",
        multiple=True,
        callback=by_name,
        metavar="NAME=ATOL,RTOL",
        help="tolerance of an output by its name or pattern, as 'logits*=1e-5,1e-4'; repeatable",
    ),
    click.option(
        "--mode",
        "compare_mode",
        metavar="mean|strict",
        help="the mean or the largest error is held against the tolerance (default mean)",
    ),
    click.option(
        "--phase",
        "diff_phase",
        metavar="both|forward|backward",
        help="what is compared (default both)",
    ),
    click.option("--single-step", is_flag=True, help="give every matched unit the same inputs"),
    click.option(
        "--allow-rounding/--no-allow-rounding",
        default=None,
        help="whether proved rounding beyond the tolerance passes (default: where none is named)",
    ),
    click.option(
        "--check-nan/--no-check-nan",
        default=None,
        help="say where NaN and infinity first come up on each side",
    ),
    click.option(
        "--fail-fast",
        is_flag=True,
        default=None,
        help="stop at the first difference: what stands behind it is not run",
    ),
    click.option(
        "--precision",
        metavar="[autocast-]bfloat16|float16",
        help="look at both models in half precision too; on any machine, by emulation",
    ),
    click.option(
        "--observed",
        multiple=True,
        callback=number_or_files,
        metavar="NUMBER|FILE",
        help="with --precision: the largest difference of an output that two runs showed; given"
        " twice, the outputs that each model's run saved (.npy, .npz)",
    ),
    click.option(
        "--steps",
        type=click.IntRange(min=1),
        help="training steps; more than 1 needs optimizers in the pair's dict",
    ),
    click.option(
        "--keep-weights", is_flag=True, help="compare with the weights as they are, nothing copied"
    ),
)
"""The options, as the help shows them."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a check.

    Attributes:
        options: those of `compare` that were given.
        layer_map: the path of a map, None where none was named.
        steps: of training; None where the pair says.
        keep_weights: whether nothing is copied.
    """

    options: Mapping[str, Any]
    layer_map: str | None = None
    steps: int | None = None
    keep_weights: bool = False

    def check(self) -> None:
        """Each option by itself, and the map: what goes together, the pair may decide.

        Raises:
            UsageError: what cannot be meant.
        """
        from padiff_graph.request.options import CHECKS

        for name, value in self.options.items():
            CHECKS[name](name, value)
        load_map(self.layer_map)

    def arguments(self, targets: Targets) -> dict[str, Any]:
        """`compare`'s parameters: the pair's, and over them what the command line says."""
        return self.over(targets.load())

    def over(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The same for a pair that is loaded."""
        from padiff_graph.request.options import rounding_allowed

        given = dict(arguments)
        named = {**(given.get("options") or {}), **self.options}
        given["options"] = rounding_allowed(named)
        if self.steps is not None:
            given["steps"] = self.steps
        if self.keep_weights:
            given["auto_weights"] = False
        given_map = load_map(self.layer_map)
        if given_map is not None:
            given["layer_map"] = given_map
        return given


def check_options(command: Command) -> Command:
    """The options of a check; handed on as `asked`."""
    names = {name for option in OPTIONS for name in _names(option)}

    @wraps(command)
    def taken(**given: Any) -> Any:
        options = {name: given.pop(name) for name in names}
        layer_map, steps = options.pop("layer_map"), options.pop("steps")
        keep_weights = options.pop("keep_weights")
        if not options["single_step"]:
            options["single_step"] = None  # the pair's own setting stands
        named = {name: value for name, value in options.items() if value is not None}
        return command(asked=Asked(named, layer_map, steps, keep_weights), **given)

    for option in reversed(OPTIONS):
        taken = option(taken)
    return taken  # type: ignore[return-value]


def _names(option: Callable[[Any], Any]) -> list[str]:
    """The parameter that an option's decorator declares."""

    def nothing() -> None: ...

    option(nothing)
    return [str(parameter.name) for parameter in nothing.__click_params__]  # type: ignore[attr-defined]
