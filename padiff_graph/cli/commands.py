"""The command line. Nothing heavy is imported before a command runs.

Exit codes: 0 aligned; 1 differences found; 2 wrong use; 3 capture failed or nothing could be compared.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from padiff_graph import __version__

__all__ = ["ALIGNED", "DIFFERENT", "NOTHING", "WRONG", "cli", "main"]

ALIGNED, DIFFERENT, WRONG, NOTHING = 0, 1, 2, 3
PAIR = "PAIR is package.module:function, a function that returns (layer, module, example_inp) or a dict of compare's parameters."


def writable(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A file to be written: its folder is looked at before anything is run."""
    if value is not None:
        folder = os.path.dirname(value) or "."
        if not os.path.isdir(folder):
            raise click.BadParameter(
                f"{value} cannot be written: there is no folder {folder}", ctx, param
            )
        if os.path.isdir(value):
            raise click.BadParameter(f"{value} cannot be written: it is a folder", ctx, param)
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="padiff-graph")
def cli() -> None:
    """Checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong.

    Exit codes: 0 aligned, 1 differences found, 2 wrong use, 3 capture failed or nothing could be compared.
    """


@cli.command(help=f"Compare two models, forward and backward. {PAIR}")
@click.argument("pair")
@click.option("--map", "layer_map", metavar="FILE", help="a layer map, as `suggest` writes it")
@click.option("--atol", type=float, help="absolute tolerance (default 0)")
@click.option("--rtol", type=float, help="relative tolerance (default 1e-7)")
@click.option(
    "--mode",
    metavar="mean|strict",
    help="the mean or the largest error is held against the tolerance (default mean)",
)
@click.option("--phase", metavar="both|forward|backward", help="what is compared (default both)")
@click.option("--single-step", is_flag=True, help="give every matched unit the same inputs")
@click.option(
    "--steps", type=int, help="training steps; more than 1 needs optimizers in the pair's dict"
)
@click.option(
    "--keep-weights", is_flag=True, help="compare with the weights as they are, nothing copied"
)
@click.option("--html", callback=writable, metavar="FILE", help="write the report as a page")
@click.option(
    "--json", "json_file", callback=writable, metavar="FILE", help="write the report as JSON"
)
@click.option(
    "--explorer",
    callback=writable,
    metavar="FILE.json",
    help="write both graphs and their mapping for Model Explorer",
)
@click.option(
    "--repro",
    callback=writable,
    metavar="FILE",
    help="write a script that reruns the first finding's region in both frameworks",
)
def align(
    pair: str,
    layer_map: str | None,
    html: str | None,
    json_file: str | None,
    explorer: str | None,
    repro: str | None,
    **given: Any,
) -> int:
    """`compare`, printed."""
    from padiff_graph.check.comparison import compare
    from padiff_graph.cli.targets import load_pair

    arguments = load_pair(pair)
    options = dict(arguments.get("options") or {})
    names = {"atol": "atol", "rtol": "rtol", "mode": "compare_mode", "phase": "diff_phase"}
    options.update(
        {names[key]: value for key, value in given.items() if key in names and value is not None}
    )
    if given["single_step"]:
        options["single_step"] = True
    if given["steps"] is not None:
        arguments["steps"] = given["steps"]
    if given["keep_weights"]:
        arguments["auto_weights"] = False
    if layer_map is not None:
        arguments["layer_map"] = _map(layer_map)
    report = compare(**{**arguments, "options": options})
    report.show()
    if html is not None:
        report.to_html(html)
        click.echo(f"written: {html}")
    if json_file is not None:
        report.to_json(json_file)
        click.echo(f"written: {json_file}")
    if explorer is not None:
        _explore(report.matching, report.findings, explorer)
    if repro is not None:
        from padiff_graph.errors import UsageError
        from padiff_graph.export.repro_script import write_repro

        try:
            write_repro(report, repro)
            click.echo(f"written: {repro}, and its values beside it")
        except UsageError as error:  # the check itself has its answer
            click.echo(f"not written: {repro}: {error}", err=True)
    counts = report.compared
    if report.passed:
        return ALIGNED
    return (
        DIFFERENT
        if counts.outputs
        or counts.regions
        or counts.gradients
        or any(finding.fails for finding in report.findings)
        else NOTHING
    )


@cli.command(help=f"Find which layers and parameters correspond. {PAIR}")
@click.argument("pair")
@click.option("-o", "--out", callback=writable, metavar="FILE", help="write the best map as YAML")
@click.option("--map", "layer_map", metavar="FILE", help="what is known already")
def suggest(pair: str, out: str | None, layer_map: str | None) -> int:
    """`suggest_layer_map`, printed."""
    from padiff_graph.check.suggestion import suggest_layer_map
    from padiff_graph.cli.targets import load_pair
    from padiff_graph.report.structural_views import show_candidate

    arguments = load_pair(pair)
    found = suggest_layer_map(
        arguments["layer"],
        arguments["module"],
        arguments["example_inp"],
        _map(layer_map) if layer_map else arguments.get("layer_map"),
    )
    if not found:
        click.echo("Nothing of the two models corresponds.")
        return NOTHING
    show_candidate(found[0])
    if out is not None:
        found[0].to_yaml(out)
        click.echo(f"written: {out}")
    return ALIGNED


@cli.command(help=f"Compare how two models are built, without their weights. {PAIR}")
@click.argument("pair")
@click.option("--map", "layer_map", metavar="FILE", help="a layer map, as `suggest` writes it")
@click.option("--html", callback=writable, metavar="FILE", help="write the diff as a page")
@click.option(
    "--json", "json_file", callback=writable, metavar="FILE", help="write the diff as JSON"
)
@click.option(
    "--explorer",
    callback=writable,
    metavar="FILE.json",
    help="write both graphs and their mapping for Model Explorer",
)
def diff(
    pair: str, layer_map: str | None, html: str | None, json_file: str | None, explorer: str | None
) -> int:
    """`structural_diff`, printed. Built differently alone is no difference."""
    from padiff_graph.check.structural_diff import structural_diff
    from padiff_graph.cli.targets import load_pair

    arguments = load_pair(pair)
    found = structural_diff(
        arguments["layer"],
        arguments["module"],
        arguments["example_inp"],
        _map(layer_map) if layer_map else arguments.get("layer_map"),
    )
    found.show()
    if html is not None:
        found.to_html(html)
        click.echo(f"written: {html}")
    if json_file is not None:
        found.to_json(json_file)
        click.echo(f"written: {json_file}")
    if explorer is not None:
        _explore(found.matching, found.findings, explorer)
    if not found.matching.matches:
        return NOTHING
    return DIFFERENT if any(finding.fails for finding in found.findings) else ALIGNED


@cli.command(
    help="Capture one model as a graph. MODEL is package.module:function, a function that returns (model, example_kwargs), or an .onnx file."
)
@click.argument("model")
@click.option(
    "-o", "--out", callback=writable, metavar="FILE", help="graph.json, .graphml, .onnx or .svg"
)
def capture(model: str, out: str | None) -> int:
    """`capture_graph`, summarised."""
    from padiff_graph.capture.api import capture_graph
    from padiff_graph.cli.targets import load_model
    from padiff_graph.export.graph_formats import WRITERS, write_graph

    if out is not None and not out.endswith(tuple(WRITERS)):
        raise click.UsageError(f"expected a file that ends in {', '.join(WRITERS)}; found {out}")
    graph = capture_graph(*load_model(model))
    kinds: dict[str, int] = {}
    for node in graph.records():
        kinds[node.kind] = kinds.get(node.kind, 0) + 1
    click.echo(
        f"{graph.modules.get('', '') or model} ({graph.framework}, {'training' if graph.training else 'evaluation'}): "
        + ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in kinds.items())
    )
    if graph.certificate is not None:
        click.echo(f"replayed against eager: {graph.certificate}")
    for note in graph.notes:
        click.echo(f"- {note}")
    if out is not None:
        write_graph(graph, out)
        click.echo(f"written: {out}")
    return ALIGNED


@cli.command(
    short_help="Convert a torch checkpoint by a saved map.",
    help="Convert a torch checkpoint (.pt, .safetensors, an index of shards) into a Paddle one (.pdparams, .safetensors) by a saved map.",
)
@click.argument("checkpoint")
@click.option(
    "--map", "layer_map", metavar="FILE", required=True, help="a layer map, as `suggest` writes it"
)
@click.option("-o", "--out", callback=writable, metavar="FILE", required=True, help="what to write")
@click.option(
    "--script",
    callback=writable,
    metavar="FILE",
    help="also write a Python converter that needs neither this tool nor torch",
)
def convert(checkpoint: str, layer_map: str, out: str, script: str | None) -> int:
    """`convert_checkpoint`, with the account of every tensor."""
    from padiff_graph.checkpoint.conversion import convert_checkpoint
    from padiff_graph.checkpoint.converter_script import write_script

    done = convert_checkpoint(checkpoint, _map(layer_map), out)
    click.echo(f"written: {out}, {len(done.written)} parameters")
    for title, names in (
        ("kept at Paddle's initial value", done.kept),
        ("not needed by Paddle", done.unused),
        ("second names of tied tensors", done.duplicates),
    ):
        if names:
            click.echo(
                f"{title}: {', '.join(names[:8])}{f' and {len(names) - 8} more' if len(names) > 8 else ''}"
            )
    if script is not None:
        write_script(_map(layer_map), script)
        click.echo(f"written: {script}")
    return ALIGNED


def _explore(matching: Any, findings: Any, path: str) -> None:
    from padiff_graph.export.model_explorer import model_explorer

    if matching is None:
        click.echo(f"not written: {path}, a model could not be captured", err=True)
        return
    click.echo("written: " + " and ".join(map(str, model_explorer(matching, path, findings))))


def _map(path: str) -> Any:
    from padiff_graph.layer_map.layer_map import LayerMap

    return LayerMap.load(path)


def main(arguments: list[str] | None = None) -> None:
    """The console script: a user's mistake is one sentence and exit code 2, a failed capture 3; never a traceback for either."""
    sys.exit(run(lambda: cli.main(arguments, prog_name="padiff-graph", standalone_mode=False)))


def _stopped(error: Exception) -> int:
    """An exception of the user's model in one sentence; any other is a mistake of this tool and needs its traceback."""
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
    except (
        UsageError,
        ImportError,
        FileNotFoundError,
        IsADirectoryError,
        PermissionError,
    ) as error:
        if type(error) is ImportError:
            return _stopped(error)
        click.echo(f"error: {error}", err=True)
        return WRONG
    except Exception as error:
        return _stopped(error)
    return code if isinstance(code, int) else ALIGNED
