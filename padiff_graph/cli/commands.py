"""The command line. Nothing heavy is imported before a command runs, and no framework before its
options were read. What it answers with stands in `exit_codes`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from padiff_graph import __version__
from padiff_graph.cli import shrink, watch
from padiff_graph.cli.answers import CheckedCommand, run
from padiff_graph.cli.check_options import Asked, check_options
from padiff_graph.cli.compare_reports import compare_reports
from padiff_graph.cli.demo import demo
from padiff_graph.cli.exit_codes import ALIGNED, DIFFERENT, NOTHING, help_text, verdict_code
from padiff_graph.cli.files import (
    Wanted,
    ending,
    output_file,
    to,
    views,
    write_acceptance_card,
    write_repro_script,
    write_stop,
    written,
)
from padiff_graph.cli.options import PAIR, explorer_option, load_map, map_option
from padiff_graph.cli.speech import headline, quiet, say, verbose
from padiff_graph.cli.two_targets import Targets, two_targets
from padiff_graph.errors import UsageError

if TYPE_CHECKING:
    from padiff_graph.capture.graph import ComputationGraph
    from padiff_graph.report.report import Report

__all__ = ["cli", "main"]

FORMAT_NAMES = ("text", "json", "github", "sarif", "junit")
"""What `align` prints; a test holds it against the writers, which load more."""
GRAPH_FILES = (".json", ".graphml", ".onnx", ".svg")
"""What `capture` writes; a test holds it against the writers, which load more."""
COMPLETION = "_PADIFF_GRAPH_COMPLETE"
"""Where a shell asks for completions; click's name for it, and its answer."""
MIB = 2**20
"""Bytes in a MiB."""
SHOWN = 8
"""Names that a line lists before it counts the rest; chosen so that it stays one line."""


class _Commands(click.Group):
    """The group; its commands end with what they return."""

    command_class = CheckedCommand


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong.\n\n"
    f"Exit codes:\n\n{help_text()}",
)
@click.version_option(__version__, prog_name="padiff-graph")
def cli() -> None:
    """The commands."""


@cli.command(help=f"Compare two models, forward and backward. {PAIR}")
@two_targets
@check_options
@click.option(
    "--format",
    "printed",
    type=click.Choice(FORMAT_NAMES),
    default="text",
    help="what is printed: text, or for machines JSON, annotations of GitHub Actions, SARIF, JUnit",
)
@output_file("--html", help="write the report as a page")
@output_file("--json", "json_file", help="write the report as JSON")
@explorer_option
@output_file(
    "--repro",
    metavar="FILE.py",
    callback=ending(".py"),
    help="write a script that reruns the first finding's region in both frameworks",
)
@output_file(
    "--card",
    metavar="FILE.md|.json",
    callback=ending(".md", ".json"),
    help="write an acceptance card: what was compared, how it was shown, what would be missed",
)
def align(
    targets: Targets,
    asked: Asked,
    printed: str,
    html: str | None,
    json_file: str | None,
    explorer: str | None,
    repro: str | None,
    card: str | None,
) -> int:
    """`compare`, printed."""
    asked.check()
    if repro is not None and targets.elsewhere:
        raise UsageError(
            "--repro: its script calls both frameworks in one process; name neither interpreters "
            "nor recordings"
        )

    from padiff_graph.check.comparison import compare

    arguments = asked.arguments(targets)
    try:
        report = compare(**arguments)
    except Exception as error:
        write_stop(error, printed, json_file)
        raise
    _print(report, printed)
    wanted = views(report, html, json_file, explorer)
    if repro is not None:
        wanted.append((repro, lambda: write_repro_script(report, repro)))
    if card is not None:
        wanted.append((card, lambda: write_acceptance_card(report, card)))
    return written(wanted, verdict_code(report), err=printed != "text")


def _print(report: Report, printed: str) -> None:
    """The report on standard output; what is written beside it is said on standard error then."""
    from padiff_graph.report.machine_formats import FORMATS

    if printed != "text":
        click.echo(FORMATS[printed](report))
    elif quiet():
        from padiff_graph.report.terminal import report_headline

        headline(report_headline(report).plain)
    else:
        report.show(numbers=bool(verbose()))


@cli.command(help=f"Find which layers and parameters correspond. {PAIR}")
@two_targets
@output_file("-o", "--out", help="write the best map as YAML")
@click.option("--map", "layer_map", metavar="FILE", help="what is known already")
@output_file(
    "--aoa",
    metavar="FILE.json",
    callback=ending(".json"),
    help="write the parameter map as AOA statements, which PaddleFormers reads",
)
@click.option(
    "--check-aoa", metavar="FILE", help="hold AOA statements written by hand against the map"
)
def suggest(
    targets: Targets,
    out: str | None,
    layer_map: str | None,
    aoa: str | None,
    check_aoa: str | None,
) -> int:
    """`suggest_layer_map`, printed."""
    from padiff_graph.cli.aoa import checked_aoa, statements_of, write_statements

    given = statements_of(check_aoa)
    models = _models_to_match(targets, layer_map)

    from padiff_graph.check.suggestion import suggest_layer_map
    from padiff_graph.report.structural_views import candidate_headline, show_candidate

    candidates = suggest_layer_map(*models)
    if not candidates:
        headline("Nothing of the two models corresponds.")
        return NOTHING
    if quiet():
        headline(candidate_headline(candidates[0]).plain)
    else:
        show_candidate(candidates[0])
    wanted: list[Wanted] = []
    if out is not None:
        wanted.append((out, lambda: to(out, candidates[0].to_yaml)))
    if aoa is not None:
        wanted.append((aoa, lambda: write_statements(candidates[0], aoa)))
    return written(wanted, checked_aoa(given, candidates[0]))


@cli.command(help=f"Compare how two models are built, without their weights. {PAIR}")
@two_targets
@map_option
@output_file("--html", help="write the diff as a page")
@output_file("--json", "json_file", help="write the diff as JSON")
@explorer_option
def diff(
    targets: Targets,
    layer_map: str | None,
    html: str | None,
    json_file: str | None,
    explorer: str | None,
) -> int:
    """`structural_diff`, printed. Built differently alone is no difference."""
    models = _models_to_match(targets, layer_map)

    from padiff_graph.capture.capture_errors import CaptureError
    from padiff_graph.check.structural_diff import structural_diff
    from padiff_graph.report.structural_views import diff_headline

    try:
        difference = structural_diff(*models)
    except CaptureError as error:
        write_stop(error, "text", json_file)
        raise
    if quiet():
        headline(diff_headline(difference).plain)
    else:
        difference.show()
    code = ALIGNED
    if not difference.matching.matches:
        code = NOTHING
    elif any(finding.fails for finding in difference.findings):
        code = DIFFERENT
    return written(views(difference, html, json_file, explorer), code)


@cli.command(
    help="Capture one model as a graph. MODEL is package.module:function or "
    "path/to/file.py:function, a function that returns (model, example_kwargs), or an .onnx file."
)
@click.argument("model")
@output_file(
    "-o", "--out", callback=ending(*GRAPH_FILES), help="graph.json, .graphml, .onnx or .svg"
)
def capture(model: str, out: str | None) -> int:
    """`capture_graph`, summarised."""
    from padiff_graph.capture.api import capture_graph
    from padiff_graph.cli.targets import load_model
    from padiff_graph.export.graph_formats import write_graph

    graph = capture_graph(*load_model(model))
    headline(_graph_summary(graph, model))
    if graph.certificate is not None:
        say(f"replayed against eager: {graph.certificate}")
    for note in graph.notes:
        say(f"- {note}")
    if out is not None:
        write_graph(graph, out)
        say(f"written: {out}")
    return ALIGNED


@cli.command(
    help="Write what one model computes to a file that numpy and json open: graph, weights, "
    "inputs, values, gradients. MODEL is as for capture."
)
@click.argument("model")
@output_file("-o", "--out", required=True, callback=ending(".pgref"), help="what to write")
@click.option(
    "--values",
    type=click.Choice(["both", "float32", "none"]),
    default="both",
    show_default=True,
    help="in which precision regions are written; fewer make the file smaller",
)
@click.option(
    "--inputs",
    metavar="FILE",
    help="inputs in the place of the model's own: an .npz, or a recording with its inputs",
)
@click.option(
    "--weights",
    metavar="PATH",
    help="read the model's weights from .safetensors files as they are used: a file, an "
    ".index.json or a folder",
)
@click.option(
    "--hash-weights",
    is_flag=True,
    help="write the hashes of weights in their place; a port is compared that holds the same ones",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="record training steps too, with the function's own loss and optimizer",
)
def record(
    model: str,
    out: str,
    values: str,
    inputs: str | None,
    weights: str | None,
    hash_weights: bool,
    steps: int | None,
) -> int:
    """`record`, with the size said before it is written."""
    from padiff_graph.cli.targets import load_side
    from padiff_graph.cli.two_targets import example_of
    from padiff_graph.export.recording import PRECISIONS, record
    from padiff_graph.sides.made_side import with_weights

    chosen = {"both": PRECISIONS, "float32": PRECISIONS[:1], "none": ()}[values]

    def expect(size: int, less: Mapping[str, int]) -> None:
        say(f"about {_mebibytes(size)} will be written{_ways_to_less(less)}")

    side = load_side(model, None if inputs is None else example_of(inputs))
    if steps is not None and side["optimizer"] is None:
        raise UsageError(f"--steps: {model} names no 'optimizer'; let its dict hold one")
    with with_weights(side, weights):
        graph = record(
            side["model"],
            side["inputs"],
            out,
            precisions=chosen,
            loss=side["loss"],
            optimizer=None if steps is None else side["optimizer"],
            steps=steps or 1,
            hash_weights=hash_weights,
            expect=expect,
        )
    headline(_graph_summary(graph, model))
    say(f"replayed against eager: {graph.certificate}")
    say(f"written: {out}, {_mebibytes(os.path.getsize(out))}")
    return ALIGNED


def _mebibytes(size: int) -> str:
    return f"{size / MIB:.1f} MiB" if size >= MIB else f"{size / MIB:.2f} MiB"


def _ways_to_less(less: Mapping[str, int]) -> str:
    """What would be written with fewer values; nothing of a small file."""
    ways = [f"--values {name}: {_mebibytes(size)}" for name, size in less.items() if size >= MIB]
    return f" ({', '.join(ways)})" if ways else ""


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
@output_file(
    "-o",
    "--out",
    required=True,
    callback=ending(".pdparams", ".safetensors"),
    help="what to write",
)
@output_file(
    "--script",
    metavar="FILE.py",
    callback=ending(".py"),
    help="also write a Python converter that needs neither this tool nor torch",
)
def convert(checkpoint: str, layer_map: str, out: str, script: str | None) -> int:
    """`convert_checkpoint`, with the account of every tensor."""
    from padiff_graph.checkpoint.conversion import convert_checkpoint
    from padiff_graph.checkpoint.converter_script import write_script
    from padiff_graph.report.wording import cut_short

    given_map = load_map(layer_map)
    done = convert_checkpoint(checkpoint, given_map, out)
    headline(f"written: {out}, {len(done.written)} parameters")
    for title, names in (
        ("kept at Paddle's initial value", done.kept),
        ("not needed by Paddle", done.unused),
        ("second names of tied tensors", done.duplicates),
    ):
        if names:
            say(f"{title}: {cut_short(names, SHOWN)}")
    if script is not None:
        write_script(given_map, script)
        say(f"written: {script}")
    return ALIGNED


def _models_to_match(targets: Targets, layer_map: str | None) -> tuple[Any, Any, Any, Any]:
    """Both models, their example and what is known of their layers."""
    known = load_map(layer_map)
    arguments = targets.load()
    if known is None:
        known = arguments.get("layer_map")
    return arguments["layer"], arguments["module"], arguments["example_inp"], known


cli.command("compare-reports")(compare_reports)
cli.command("shrink", short_help=shrink.SHORT, help=shrink.HELP)(shrink.shrink)
cli.command("watch", short_help="Check again whenever the source changes.", help=watch.HELP)(
    watch.watch
)
cli.command("demo")(demo)


def main(arguments: list[str] | None = None) -> None:
    """The console script.

    A user's mistake is one sentence and exit code 2, a failed capture 3; never a traceback.
    """
    if os.environ.get(COMPLETION):  # a shell asks what could be typed next
        cli.main(arguments, prog_name="padiff-graph")
    code = run(lambda: cli.main(arguments, prog_name="padiff-graph", standalone_mode=False))
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads any more: what is left to print would change the exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
