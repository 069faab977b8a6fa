"""Matches that fall away: operations that yield, element by element, other numbers of elements, and
read nothing that is matched.

Where a width differs, what they read is matched and has two sizes, or is read in another part; or a
layer above is matched and has. Where it begins at a sum or product, two spellings of one function
were laid beside each other (a rotary embedding in halves against a rotated copy), and what stands
at like places is not the same value.
"""

from __future__ import annotations

from padiff_graph.capture.normal.traits import traits
from padiff_graph.matching.match_state import FIRM, State
from padiff_graph.matching.operand_positions import operand_positions

__all__ = ["give_up_unlike_sizes"]


def give_up_unlike_sizes(state: State) -> int:
    """Lets go of such matches, those behind them included; how many. None where a layer has two
    widths."""
    if any(_of_two_widths(state, first) for first in state.pairings):
        return 0
    count = 0
    for first in sorted(state.pairings):
        pairing = state.pairings[first]
        if pairing.rung not in FIRM and _unlike(state, first, pairing.second):
            state.drop(first)
            count += 1
    return count


def _of_two_widths(state: State, first: int) -> bool:
    """Whether a matched operation that is not computed element by element yields two numbers of
    elements."""
    a, b = state.first.nodes[first], state.second.nodes[state.partner[0][first]]
    if a.leaf or b.leaf or traits(a.op).elementwise or not (a.outputs and b.outputs):
        return False
    return a.outputs[0].size != b.outputs[0].size


def _unlike(state: State, first: int, second: int) -> bool:
    a, b = state.first.nodes[first], state.second.nodes[second]
    if not (traits(a.op).elementwise and traits(b.op).elementwise and a.outputs and b.outputs):
        return False
    return a.outputs[0].size != b.outputs[0].size and not _reads_a_match(state, first, second)


def _reads_a_match(state: State, first: int, second: int) -> bool:
    """Whether an operand's source is the other's counterpart: of another size, or read in another
    part, which then is the difference. Two constants may merely look alike."""
    for ours, theirs in operand_positions(state, first, second):
        x = state.first.nodes[first].inputs[ours]
        y = state.second.nodes[second].inputs[theirs]
        if x is None or y is None or state.partner[0][x.source] != y.source:
            continue
        if state.first.nodes[x.source].op != "Constant":
            return True
    return False
