"""Random draws that frameworks make in different ways."""

from __future__ import annotations

from padiff_graph.capture.normal.builder import Draft
from padiff_graph.capture.normal.edges import view_of
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["bernoulli_from_uniform"]


@applies_to("Floor", "Less")
def bernoulli_from_uniform(sweep: Sweep, draft: Draft) -> bool:
    """floor(u + p) and u < p with u uniform in [0, 1) are ones with probability p: stochastic depth."""
    uniform = draft.inputs[0]
    source = sweep.source(uniform)
    if (
        uniform is None
        or source is None
        or source.op != "RandomUniform"
        or (source.attrs["low"], source.attrs["high"]) != (0.0, 1.0)
    ):
        return False
    if not sweep.alone(source) or uniform.scale != 1.0 or not view_of(uniform).identity:
        return False
    if draft.op == "Floor":
        probability = uniform.shift
    else:
        bound = sweep.builder.scalar(draft.inputs[1])
        if bound is None:
            return False
        probability = float(bound) - uniform.shift
    if not 0.0 < probability <= 1.0:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Bernoulli", [], {"p": probability}, source))
    return True
