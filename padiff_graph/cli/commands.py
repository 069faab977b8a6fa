"""The command line. Nothing heavy is imported before a command runs.

Exit codes: 0 aligned; 1 differences found; 2 wrong use; 3 capture failed or nothing could be
compared.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from padiff_graph import __version__

if TYPE_CHECKING:
    from padiff_graph.capture.graph import ComputationGraph
    from padiff_graph.layer_map.layer_map import LayerMap
    from padiff_graph.report.report import Report
    from padiff_graph.report.structural_diff_result import StructuralDiff

__all__ = ["ALIGNED", "DIFFERENT", "NOTHING", "WRONG", "cli", "main"]

Command = TypeVar("Command", bound=Callable[..., Any])

ALIGNED, DIFFERENT, WRONG, NOTHING = 0, 1, 2, 3
PAIR = (
    "PAIR is package.module:function, a function that returns (layer, module, example_inp) "
    "or a dict of compare's parameters."
)
SHOWN = 8
"""Names that a line lists before it counts the rest; chosen so that it stays one line."""


def writable(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A file to be written: its folder is looked at before anything is run."""
    if value is None:
        return None
    folder = os.path.dirname(value) or "."
    if not os.path.isdir(folder):
        reason = f"{value} cannot be written: there is no folder {folder}"
        raise click.BadParameter(reason, ctx, param)
    if os.path.isdir(value):
        raise click.BadParameter(f"{value} cannot be written: it is a folder", ctx, param)
    return value


def output_file(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """An option that names a file to be written."""
    return click.option(*names, callback=writable, **{"metavar": "FILE", **settings})


map_option = click.option(
    "--map", "layer_map", metavar="FILE", help="a layer map, as `suggest` writes it"
)
explorer_option = output_file(
    "--explorer",
    metavar="FILE.json",
    help="write both graphs and their mapping for Model Explorer",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="padiff-graph")
def cli() -> None:
    """Checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong.

    Exit codes: 0 aligned, 1 differences found, 2 wrong use, 3 capture failed or nothing could be
    compared.
    """


@cli.command(help=f"Compare two models, forward and backward. {PAIR}")
@click.argument("pair")
@map_option
@click.option("--atol", type=float, help="absolute tolerance (default 0)")
@click.option("--rtol", type=float, help="relative tolerance (default 1e-7)")
@click.option(
    "--mode",
    "compare_mode",
    metavar="mean|strict",
    help="the mean or the largest error is held against the tolerance (default mean)",
)
@click.option(
    "--phase",
    "diff_phase",
    metavar="both|forward|backward",
    help="what is compared (default both)",
)
@click.option("--single-step", is_flag=True, help="give every matched unit the same inputs")
@click.option(
    "--allow-rounding/--no-allow-rounding",
    default=None,
    help="whether proved rounding beyond the tolerance passes (default: where none is named)",
)
@click.option(
    "--steps", type=int, help="training steps; more than 1 needs optimizers in the pair's dict"
)
@click.option(
    "--keep-weights", is_flag=True, help="compare with the weights as they are, nothing copied"
)
@output_file("--html", help="write the report as a page")
@output_file("--json", "json_file", help="write the report as JSON")
@explorer_option
@output_file(
    "--repro", help="write a script that reruns the first finding's region in both frameworks"
)
def align(
    pair: str,
    layer_map: str | None,
    steps: int | None,
    keep_weights: bool,
    html: str | None,
    json_file: str | None,
    explorer: str | None,
    repro: str | None,
    **options: Any,
) -> int:
    """`compare`, printed."""
    from padiff_graph.check.comparison import compare
    from padiff_graph.cli.targets import load_pair
    from padiff_graph.request.options import rounding_allowed

    arguments = load_pair(pair)
    if not options["single_step"]:
        del options["single_step"]  # the pair's own setting stands
    asked = {name: value for name, value in options.items() if value is not None}
    named = {**(arguments.get("options") or {}), **asked}
    arguments["options"] = rounding_allowed(named)
    if steps is not None:
        arguments["steps"] = steps
    if keep_weights:
        arguments["auto_weights"] = False
    if layer_map is not None:
        arguments["layer_map"] = _load_map(layer_map)
    report = compare(**arguments)
    report.show()
    _write_views(report, html, json_file, explorer)
    if repro is not None:
        _write_repro(report, repro)
    return _answer(report)


def _answer(report: Report) -> int:
    """The exit code of a report."""
    if report.passed:
        return ALIGNED
    counts = report.compared
    something = counts.outputs or counts.regions or counts.gradients
    if something or any(finding.fails for finding in report.findings):
        return DIFFERENT
    return NOTHING


@cli.command(help=f"Find which layers and parameters correspond. {PAIR}")
@click.argument("pair")
@output_file("-o", "--out", help="write the best map as YAML")
@click.option("--map", "layer_map", metavar="FILE", help="what is known already")
def suggest(pair: str, out: str | None, layer_map: str | None) -> int:
    """`suggest_layer_map`, printed."""
    from padiff_graph.check.suggestion import suggest_layer_map
    from padiff_graph.report.structural_views import show_candidate

    candidates = suggest_layer_map(*_models_to_match(pair, layer_map))
    if not candidates:
        click.echo("Nothing of the two models corresponds.")
        return NOTHING
    show_candidate(candidates[0])
    if out is not None:
        candidates[0].to_yaml(out)
        click.echo(f"written: {out}")
    return ALIGNED


@cli.command(help=f"Compare how two models are built, without their weights. {PAIR}")
@click.argument("pair")
@map_option
@output_file("--html", help="write the diff as a page")
@output_file("--json", "json_file", help="write the diff as JSON")
@explorer_option
def diff(
    pair: str, layer_map: str | None, html: str | None, json_file: str | None, explorer: str | None
) -> int:
    """`structural_diff`, printed. Built differently alone is no difference."""
    from padiff_graph.check.structural_diff import structural_diff

    difference = structural_diff(*_models_to_match(pair, layer_map))
    difference.show()
    _write_views(difference, html, json_file, explorer)
    if not difference.matching.matches:
        return NOTHING
    if any(finding.fails for finding in difference.findings):
        return DIFFERENT
    return ALIGNED


@cli.command(
    help="Capture one model as a graph. MODEL is package.module:function, a function that returns "
    "(model, example_kwargs), or an .onnx file."
)
@click.argument("model")
@output_file("-o", "--out", help="graph.json, .graphml, .onnx or .svg")
def capture(model: str, out: str | None) -> int:
    """`capture_graph`, summarised."""
    from padiff_graph.capture.api import capture_graph
    from padiff_graph.cli.targets import load_model
    from padiff_graph.export.graph_formats import WRITERS, write_graph

    if out is not None and not out.endswith(tuple(WRITERS)):
        raise click.UsageError(f"expected a file that ends in {', '.join(WRITERS)}; found {out}")
    graph = capture_graph(*load_model(model))
    click.echo(_graph_summary(graph, model))
    if graph.certificate is not None:
        click.echo(f"replayed against eager: {graph.certificate}")
    for note in graph.notes:
        click.echo(f"- {note}")
    if out is not None:
        write_graph(graph, out)
        click.echo(f"written: {out}")
    return ALIGNED


def _graph_summary(graph: ComputationGraph, model: str) -> str:
    """One line: the model's class, framework and mode, and how many nodes of each kind it has."""
    from padiff_graph.report.wording import noun

    mode = "training" if graph.training else "evaluation"
    kinds = Counter(node.kind for node in graph.records())
    counts = ", ".join(f"{count} {noun(f'{kind}s', count)}" for kind, count in kinds.items())
    return f"{graph.modules.get('', '') or model} ({graph.framework}, {mode}): {counts}"


@cli.command(
    short_help="Convert a torch checkpoint by a saved map.",
    help="Convert a torch checkpoint (.pt, .safetensors, an index of shards) into a Paddle one "
    "(.pdparams, .safetensors) by a saved map.",
)
@click.argument("checkpoint")
@click.option(
    "--map", "layer_map", metavar="FILE", required=True, help="a layer map, as `suggest` writes it"
)
@output_file("-o", "--out", required=True, help="what to write")
@output_file(
    "--script", help="also write a Python converter that needs neither this tool nor torch"
)
def convert(checkpoint: str, layer_map: str, out: str, script: str | None) -> int:
    """`convert_checkpoint`, with the account of every tensor."""
    from padiff_graph.checkpoint.conversion import convert_checkpoint
    from padiff_graph.checkpoint.converter_script import write_script
    from padiff_graph.report.wording import cut_short

    done = convert_checkpoint(checkpoint, _load_map(layer_map), out)
    click.echo(f"written: {out}, {len(done.written)} parameters")
    for title, names in (
        ("kept at Paddle's initial value", done.kept),
        ("not needed by Paddle", done.unused),
        ("second names of tied tensors", done.duplicates),
    ):
        if names:
            click.echo(f"{title}: {cut_short(names, SHOWN)}")
    if script is not None:
        write_script(_load_map(layer_map), script)
        click.echo(f"written: {script}")
    return ALIGNED


def _models_to_match(pair: str, layer_map: str | None) -> tuple[Any, Any, Any, Any]:
    """Both models, their example and what is known of their layers."""
    from padiff_graph.cli.targets import load_pair

    arguments = load_pair(pair)
    known = arguments.get("layer_map")
    if layer_map:
        known = _load_map(layer_map)
    return arguments["layer"], arguments["module"], arguments["example_inp"], known


def _write_views(
    result: Report | StructuralDiff, html: str | None, json_file: str | None, explorer: str | None
) -> None:
    if html is not None:
        result.to_html(html)
        click.echo(f"written: {html}")
    if json_file is not None:
        result.to_json(json_file)
        click.echo(f"written: {json_file}")
    if explorer is not None:
        _explore(result, explorer)


def _explore(result: Report | StructuralDiff, path: str) -> None:
    from padiff_graph.export.model_explorer import model_explorer

    if result.matching is None:
        click.echo(f"not written: {path}, a model could not be captured", err=True)
        return
    paths = model_explorer(result.matching, path, result.findings)
    click.echo("written: " + " and ".join(map(str, paths)))


def _write_repro(report: Report, path: str) -> None:
    from padiff_graph.errors import UsageError
    from padiff_graph.export.repro_script import write_repro

    try:
        write_repro(report, path)
        click.echo(f"written: {path}, and its values beside it")
    except UsageError as error:  # the check itself has its answer
        click.echo(f"not written: {path}: {error}", err=True)


def _load_map(path: str) -> LayerMap:
    from padiff_graph.layer_map.layer_map import LayerMap

    return LayerMap.load(path)


def main(arguments: list[str] | None = None) -> None:
    """The console script.

    A user's mistake is one sentence and exit code 2, a failed capture 3; never a traceback.
    """
    sys.exit(run(lambda: cli.main(arguments, prog_name="padiff-graph", standalone_mode=False)))


def _wrong_use(error: Exception) -> int:
    click.echo(f"error: {error}", err=True)
    return WRONG


def _stopped(error: Exception) -> int:
    """An exception of the user's model in one sentence.

    Any other is a mistake of this tool and needs its traceback.
    """
    from padiff_graph.cli.targets import raised_at

    where = raised_at(error)
    if where:
        click.echo(f"nothing was compared: {type(error).__name__}{where}: {error}", err=True)
    else:
        traceback.print_exception(error)
    return NOTHING


def run(command: Callable[[], Any]) -> int:
    """Runs a command and turns its errors into exit codes."""
    from padiff_graph.capture.capture_errors import CaptureError  # light
    from padiff_graph.errors import UsageError

    try:
        code = command()
    except click.ClickException as error:
        error.show()
        return WRONG
    except click.Abort:
        click.echo("stopped", err=True)
        return WRONG
    except CaptureError as error:
        click.echo(f"capture failed: {error}", err=True)
        return NOTHING
    except ImportError as error:
        # its subclasses name what is not installed; a name that a module lacks is a mistake in code
        return _stopped(error) if type(error) is ImportError else _wrong_use(error)
    except (UsageError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        return _wrong_use(error)
    except Exception as error:
        return _stopped(error)
    return code if isinstance(code, int) else ALIGNED
