"""Both sides of two matched models made ready to run regions: weights, draws and examples
shared."""

from __future__ import annotations

from padiff_graph.capture.engine import Engine
from padiff_graph.executor.pair_run import Pair
from padiff_graph.executor.region_parameters import Shared
from padiff_graph.executor.region_run import Side
from padiff_graph.executor.shared_draws import Draws, coins, random_pairs
from padiff_graph.matching.result import Matching

__all__ = ["bare_sides", "pair_of"]


def pair_of(
    matching: Matching,
    engines: tuple[Engine, Engine],
    shared: Shared,
    *,
    forward: bool = True,
    backward: bool = True,
) -> Pair:
    """Both sides, with the weights that they share.

    Args:
        matching: graphs with live sessions.
        engines: of the first and the second model.
        shared: the weights.
        forward, backward: what is compared.
    """
    first, second = matching.first.graph, matching.second.graph
    thrown = coins(matching.first), coins(matching.second)
    draws = Draws(first, second, random_pairs(matching), thrown)
    return Pair(
        Side(first, engines[0], shared.first, draws.of_first, engines[0].inputs(first)),
        Side(second, engines[1], shared.second, draws.of_second, engines[1].inputs(second)),
        {row.first: row for row in matching.parameters},
        forward,
        backward,
        shared.loose,
    )


def bare_sides(matching: Matching, engines: tuple[Engine, Engine]) -> tuple[Side, Side]:
    """Both sides as far as their graphs say: shapes and dtypes of values, nothing to run."""
    graphs = matching.first.graph, matching.second.graph
    first, second = (
        Side(graph, engine, {}, lambda node: None, {})
        for graph, engine in zip(graphs, engines, strict=True)
    )
    return first, second
