"""What both certified graphs yield under the same random cotangents, had from the replays that
certify them.

Where no loss is given and the mean of the outputs cancels (behind a normalisation, for instance),
its gradients are what rounding leaves, and totals that agree within a tolerance say nothing. Both
graphs are held against each other under random cotangents then. The replays have run forward
already, on the weights that are compared: each is differentiated once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from padiff_graph.capture.certified_replay import Further
from padiff_graph.capture.eager_run import GRADIENTS, Quantities
from padiff_graph.capture.engine import Array, Engine, NotRunnable
from padiff_graph.check.check_request import CheckRequest
from padiff_graph.check.end_to_end import ApartUnder, WholeCheck
from padiff_graph.check.far_apart import left_open
from padiff_graph.executor.output_pairs import named_pairs
from padiff_graph.executor.pair_setup import bare_sides
from padiff_graph.executor.whole_graph import GraphRun
from padiff_graph.matching.result import Matching
from padiff_graph.obligations.whole_proof import laid_side_by_side, seeds_of_both
from padiff_graph.referee.referee import measure

__all__ = ["RandomTotals"]


@dataclass
class RandomTotals:
    """The question, and what both replays answered.

    Attributes:
        matching: of the two models.
        whole: both eager runs held against each other.
        inputs: which input leaves correspond.
        seeds: cotangents by output name, of each side.
        runs: what each side yielded under them.
    """

    matching: Matching
    whole: WholeCheck
    inputs: tuple[tuple[str, str], ...]
    seeds: tuple[Mapping[str, Array], Mapping[str, Array]]
    runs: dict[int, GraphRun] = field(default_factory=dict)

    @classmethod
    def wanted(
        cls,
        request: CheckRequest,
        matching: Matching,
        engines: tuple[Engine, Engine],
        whole: WholeCheck,
    ) -> RandomTotals | None:
        """The question where the eager runs leave it open though all is within the tolerance; None
        where they do not, or where both sides have no cotangents in common."""
        # a buffer hangs on no cotangent; of one that is apart regions may tell that the frameworks'
        # own rules part it
        counted = [own for own in whole.quantities if own.counted and own.kind != "buffer"]
        within = all(quantity.within for quantity in counted)
        if whole.random or whole.ungraded or not (request.options.backward and within):
            return None
        if not left_open(counted):
            return None
        try:
            pairs = named_pairs(matching, whole.answers.pairs)
            seeds = seeds_of_both(bare_sides(matching, engines), pairs)
        except NotRunnable:
            return None
        return cls(matching, whole, tuple(request.inputs.pairs), seeds)

    def further(self, side: int) -> Further:
        """What a side's replay is asked besides."""
        return Further(self.seeds[side], lambda yielded: self._told(side, yielded))

    def _told(self, side: int, yielded: Quantities) -> None:
        gradients = {
            f"{prefix}:{name}": array
            for prefix, kind in GRADIENTS.items()
            for name, array in yielded[kind].items()
        }
        self.runs[side] = GraphRun(yielded["output"], yielded["buffer"], gradients)

    def apart(self) -> tuple[ApartUnder, ...] | None:
        """How far every quantity of both is apart; None where a side did not answer."""
        if len(self.runs) < len(self.seeds):
            return None
        pairs = named_pairs(self.matching, self.whole.answers.pairs)
        laid = laid_side_by_side(
            pairs, self.inputs, self.matching.parameters, self.runs[0], self.runs[1]
        )
        return tuple(
            ApartUnder(entry.kind, entry.first_name, measure(*entry.arrays())) for entry in laid
        )
