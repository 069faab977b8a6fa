"""Options that several commands share: what a pair is, a layer map, a file for Model Explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from padiff_graph.cli.files import output_file

if TYPE_CHECKING:
    from padiff_graph.layer_map.layer_map import LayerMap

__all__ = ["PAIR", "explorer_option", "load_map", "map_option"]

PAIR = (
    "PAIR is package.module:function or path/to/file.py:function, a function that returns "
    "(layer, module, example_inp) or a dict of compare's parameters. With SECOND each model has a "
    "function of its own, which returns (model, inputs) or a dict, and may have an interpreter of "
    "its own."
)

map_option = click.option(
    "--map", "layer_map", metavar="FILE", help="a layer map, as `suggest` writes it"
)
explorer_option = output_file(
    "--explorer",
    metavar="FILE.json",
    help="write both graphs and their mapping for Model Explorer",
)


def load_map(path: str | None) -> LayerMap | None:
    """A map's file, None where none is named."""
    if path is None:
        return None
    from padiff_graph.layer_map.layer_map import LayerMap

    return LayerMap.load(path)
