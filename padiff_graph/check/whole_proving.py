"""The step that asks float64 of both models as a whole: where rounding is claimed, or draws part
the runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from padiff_graph.check.check_log import CheckLog
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.check_steps import Regional
from padiff_graph.check.compared_counts import divergent_buffers
from padiff_graph.check.end_to_end import WholeCheck
from padiff_graph.check.scope import left_out
from padiff_graph.executor.output_pairs import named_pairs
from padiff_graph.executor.pair_setup import pair_of
from padiff_graph.executor.region_parameters import share
from padiff_graph.obligations.whole_proof import WholeProof, prove_whole
from padiff_graph.referee.tolerance import Quantity

__all__ = ["prove_models"]

FAR = {"output": 1e-3, "loss": 1e-3, "buffer": 1e-3, "input": 0.05, "parameter": 0.05}
"""How far apart, relative to the largest value of its kind, a quantity may be before float64 is
asked though the tolerance allows it; chosen above what accumulated rounding reaches in most models,
since each further question costs a run of both models in float64."""


def prove_models(request: CheckRequest, regional: Regional, log: CheckLog) -> Regional:
    """The record with what float64 leaves of both models; as it is where that needs no asking."""
    if not _can_ask(request, regional) or not _must_ask(regional):
        return regional
    assert regional.whole is not None
    alignment, matching = regional.weighted.alignment, regional.weighted.matching
    engines = alignment.engines
    graphs = matching.first.graph, matching.second.graph
    with log.timed("float64 of the whole"), ExitStack() as stack:
        for engine, graph in zip(engines, graphs, strict=True):
            stack.enter_context(engine.quiet(values=graph.calls_back))
        weights = share(matching, *engines, randomise=False)
        proof = prove_whole(
            pair_of(matching, engines, weights),
            named_pairs(matching, regional.whole.answers.pairs),
            request.inputs.pairs,
            backward=request.options.backward,
        )
    return replace(regional, proof=_excused(proof, regional))


def _can_ask(request: CheckRequest, regional: Regional) -> bool:
    """Whether both models are to be the same as a whole: equal weights, nothing left out, and
    nothing that draws random numbers which cannot be shared."""
    return (
        not request.deployed
        and not request.scope.pairs
        and not left_out(request.scope)
        and regional.weighted.equal
        and regional.weighted.alignment.alive
        and not any(finding.fails for finding in regional.findings)
        and all(result.verdict != "not-comparable" for result in regional.regions.results)
        and not _exchanged(regional)
    )


def _exchanged(regional: Regional) -> bool:
    """Whether the eager runs have shown outputs in each other's place already."""
    assert regional.whole is not None
    answers = regional.whole.answers
    return not answers.random and any(entry.apart > 0.0 for entry in answers.crossed)


def _must_ask(regional: Regional) -> bool:
    """Whether the eager runs leave it open whether both models are the same."""
    whole = regional.whole
    assert whole is not None
    if whole.random:
        return True
    counted = [quantity for quantity in whole.quantities if quantity.counted]
    return any(not quantity.within for quantity in counted) or _far_apart(whole, counted)


def _far_apart(whole: WholeCheck, counted: Sequence[Quantity]) -> bool:
    """Whether a quantity within the tolerance is far apart on the scale of its kind."""
    scales: dict[str, float] = {}
    for quantity in counted:
        scales[quantity.kind] = max(scales.get(quantity.kind, 0.0), quantity.scale)
    return any(
        quantity.error > FAR[quantity.kind] * (scales[quantity.kind] or 1.0) for quantity in counted
    )


def _excused(proof: WholeProof, regional: Regional) -> WholeProof:
    """The proof without buffers that a known divergence of the frameworks explains."""
    excused = divergent_buffers(regional.regions)
    kept = [
        entry for entry in proof.remainders if entry.kind != "buffer" or entry.first not in excused
    ]
    return replace(proof, remainders=tuple(kept))
