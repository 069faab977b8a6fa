"""Random draws that frameworks make in different ways."""

from __future__ import annotations

from padiff_graph.capture.normal.draft import Draft
from padiff_graph.capture.normal.edges import view_of
from padiff_graph.capture.normal.form import Edge
from padiff_graph.capture.normal.rewrites.rule import Sweep, applies_to

__all__ = ["bernoulli_from_uniform"]


@applies_to("Floor", "Less")
def bernoulli_from_uniform(sweep: Sweep, draft: Draft) -> bool:
    """Floor(u + p) and u < p with u uniform in [0, 1) are ones with probability p: stochastic
    depth.

    Refuses other ranges, draws that are read elsewhere too or scaled, bounds that are not known,
    and probabilities outside (0, 1].
    """
    uniform = draft.inputs[0]
    source = sweep.behind(uniform, "RandomUniform")
    if uniform is None or source is None or not sweep.alone(source):
        return False
    if (source.attrs["low"], source.attrs["high"]) != (0.0, 1.0):
        return False
    if uniform.scale != 1.0 or not view_of(uniform).identity:
        return False
    probability = _probability(sweep, draft, uniform)
    if probability is None or not 0.0 < probability <= 1.0:
        return False
    sweep.replace(draft, sweep.made_of(draft, "Bernoulli", [], {"p": probability}, source))
    return True


def _probability(sweep: Sweep, draft: Draft, uniform: Edge) -> float | None:
    """How likely a draw gives one."""
    if draft.op == "Floor":
        return uniform.shift
    bound = sweep.builder.scalar(draft.inputs[1])
    return None if bound is None else float(bound) - uniform.shift
