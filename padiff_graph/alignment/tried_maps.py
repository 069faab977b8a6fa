"""What structure leaves open is tried: the candidates for each parameter are run, and the one under
which values agree is the map.

Where several agree alike they cannot matter, and the likeliest is taken. Where none does the
parameter stays open: a guess is no map.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from padiff_graph.alignment.aligned import Alignment
from padiff_graph.alignment.held_alike import Unshown
from padiff_graph.alignment.map_trials import Trials, readers_of, targets, within_reach
from padiff_graph.alignment.value_proof import prove
from padiff_graph.capture.engine import Engine, NotRunnable
from padiff_graph.capture.normal.form import NormalGraph
from padiff_graph.matching.parameters.candidates import (
    ATTENDED,
    GATES,
    Choice,
    Option,
    attended,
    choices,
    regated,
    structural,
)
from padiff_graph.matching.parameters.conventions import TURNED
from padiff_graph.matching.parameters.row_changes import with_rows
from padiff_graph.matching.parameters.without_counterpart import Values
from padiff_graph.matching.result import Matching, ParameterRow

__all__ = ["TRIED", "tried"]

RUNS = 64
"""Most trials of one pair of models: six questions with two answers each."""
OPERATIONS = 100_000
"""Most operations that all trials run together; chosen so that they take a minute at most."""
LEAST = 4
"""Trials that even the largest model gets."""
SURE = 0.97
"""Confidence in a row that a run has proved; chosen as for a match that values confirm."""

TRIED = "tried and proved by running"
"""How the reason of a row that a run has proved begins."""

Plan = tuple[int, ...]
"""For each question the position of its answer; -1 where the row stays as it is."""


def tried(alignment: Alignment) -> tuple[Alignment, Unshown]:
    """The alignment with rows for what could be proved by running, itself where nothing could; and
    what was asked."""
    matching = alignment.matching
    values = _values(alignment.first_engine), _values(alignment.second_engine)
    names = [*_open(matching), *_doubtful(alignment)]
    asked = attended(matching, values, _free(alignment))
    attentive = {name for choice in asked for name in choice.names}
    names = [name for name in names if name not in attentive]
    # what structure says most of comes first, and takes what it needs
    asked += structural(matching, values, names)
    asked += choices(matching, values, names) if names else []
    asked += regated(matching, _gated(alignment, [*names, *attentive]))
    if not asked:
        return alignment, Unshown()
    behind = readers_of(matching.first.graph, {name for each in asked for name in each.names})
    aims = targets(matching, behind)
    try:
        aims = within_reach(matching, alignment.engines, aims, behind)
        found = _Search(matching, asked, Trials(alignment.engines, aims)).found()
    except NotRunnable as error:
        found = _Found({}, False, frozenset())
        alignment = replace(alignment, notes=(*alignment.notes, f"not run: {error}"))
    changed = with_rows(matching, found.rows)
    if found.whole:
        changed = _of_one_size(changed)
    rest = Unshown(tuple(asked), found.shown)
    if (changed.parameters, changed.points) == (matching.parameters, matching.points):
        return alignment, rest
    proof = prove(changed, alignment.layout, *alignment.engines)
    marked = proof.mark(changed, alignment.layout)
    return replace(alignment, matching=marked, proof=proof), rest


def _of_one_size(matching: Matching) -> Matching:
    """The matching without points between values of two sizes: where everything agrees, one holds
    what the other model computes piece by piece."""
    points = [each for each in matching.points if each.first_view.size == each.second_view.size]
    return replace(matching, points=tuple(points))


def _values(engine: Engine) -> Values:
    own = engine.parameters()
    return lambda name: engine.array(own[name]) if name in own else None


def _open(matching: Matching) -> list[str]:
    """Parameters without a counterpart, where the second model has some left over."""
    if not matching.unused_second:
        return []
    return [row.first for row in matching.parameters if row.status in ("open", "neutral")]


def _doubtful(alignment: Alignment) -> list[str]:
    """Parameters that are computed with before use, so that nothing that moves with the input reads
    them: what they go with, and in which order of axes, was taken from their shapes. That values
    made of weights alone agree proves no order: (a b) transposed is b transposed by a
    transposed."""
    matching = alignment.matching
    read_by_moving = _read_by_moving(matching.first)
    sure = {
        reading.first
        for reading in alignment.layout.readings
        if reading.certain
        and (reading.first, matching.matches[reading.match].first) in read_by_moving
    }
    rows = _turnable(alignment)
    return [row.first for row in rows if row.first not in sure]


def _gated(alignment: Alignment, names: Sequence[str]) -> list[str]:
    """Parameters that may hold the gates of a recurrent cell written out: in a model with both of
    its squashings. What reads them may agree, and the gates be told apart wrongly behind it."""
    ops = {node.op for node in alignment.matching.first.nodes}
    if not ops >= GATES:
        return []
    return [row.first for row in _turnable(alignment) if row.first not in names]


def _free(alignment: Alignment) -> set[str]:
    """Parameters that the user has given no row."""
    rows = alignment.matching.parameters
    return {row.first for row in rows if row.first not in alignment.known.fixed}


def _turnable(alignment: Alignment) -> list[ParameterRow]:
    """Rows of whole parameters that the user has not given."""
    return [
        row
        for row in alignment.matching.parameters
        if row.status == "mapped"
        and row.first not in alignment.known.fixed
        and len(row.pieces) == 1
        and row.pieces[0].first_view.identity
        and row.pieces[0].second_view.permutation
    ]


def _read_by_moving(normal: NormalGraph) -> set[tuple[str, int]]:
    """Parameters with the nodes that read them as they are, of nodes that depend on an input."""
    moving = {node.id for node in normal.nodes if node.op == "Input"}
    for node in normal.nodes:
        if any(edge is not None and edge.source in moving for edge in node.inputs):
            moving.add(node.id)
    return {
        (normal.nodes[edge.source].name, node.id)
        for node in normal.nodes
        if node.id in moving
        for edge in node.inputs
        if edge is not None and normal.nodes[edge.source].op == "Parameter"
    }


@dataclass(frozen=True)
class _Found:
    """What trials have proved.

    Attributes:
        rows: by the name of the first model's parameter.
        whole: whether every output agrees under them.
        shown: parameters behind which something agrees, under new rows or those of before.
    """

    rows: dict[str, ParameterRow]
    whole: bool
    shown: frozenset[str]


@dataclass
class _Search:
    """The search for the answers under which most values agree.

    Attributes:
        matching: with the rows so far.
        asked: the questions.
        trials: that run a map.
    """

    matching: Matching
    asked: Sequence[Choice]
    trials: Trials

    def __post_init__(self) -> None:
        self._rows = {row.first: row for row in self.matching.parameters}

    def found(self) -> _Found:
        """What runs have proved; nothing where no map may make anything agree.

        Raises:
            NotRunnable: where a graph cannot be rerun.
        """
        if not self.trials.targets:
            return _Found({}, False, frozenset())
        nothing: Plan = (-1,) * len(self.asked)
        before = self.trials.agreeing(self.matching)
        plan, agreeing = nothing, before
        done: set[Plan] = {nothing}
        for propose in (self._likely, self._changed, self._any):
            improved = True
            while improved and not self._complete(agreeing):
                improved = False
                for proposal in propose(plan):
                    if proposal in done or self._spent():
                        continue
                    done.add(proposal)
                    shown = self.trials.agreeing(self._under(proposal))
                    more = len(shown) > len(agreeing) and shown >= before
                    if more or self._complete(shown):
                        plan, agreeing, improved = proposal, shown, True
                    if self._complete(agreeing):
                        break
        rows, whole = self._proved(plan, before, agreeing), self._complete(agreeing)
        borne_out = [
            choice.names for choice in self.asked if whole or self._bears_out(choice, agreeing)
        ]
        return _Found(rows, whole, frozenset(itertools.chain(rows, *borne_out)))

    def _complete(self, agreeing: frozenset[int]) -> bool:
        """Whether every output agrees: values between may stand in another order then."""
        numbered = enumerate(self.trials.targets)
        outputs = {number for number, target in numbered if target.output}
        return outputs <= agreeing and bool(outputs)

    def _spent(self) -> bool:
        size = len(self.matching.first.graph)
        return self.trials.runs >= max(LEAST, min(RUNS, OPERATIONS // max(size, 1)))

    def _under(self, plan: Plan) -> Matching:
        return with_rows(
            self.matching, {row.first: row for option in self._chosen(plan) for row in option.rows}
        )

    def _chosen(self, plan: Plan) -> list[Option]:
        pairs = zip(self.asked, plan, strict=True)
        return [choice.options[at] for choice, at in pairs if at >= 0]

    # -- plans

    def _likely(self, plan: Plan) -> Iterator[Plan]:
        """The likeliest answer to every question, then the same convention for all."""
        yield self._with_convention(None)
        conventions = (option.convention for each in self.asked for option in each.options)
        for convention in dict.fromkeys(conventions):
            yield self._with_convention(convention)

    def _with_convention(self, convention: str | None) -> Plan:
        """For each question its first answer of a convention whose parameters are not taken; the
        first of any where there is none."""
        taken: set[str] = set()
        plan: list[int] = []
        for choice in self.asked:
            free = [at for at, option in enumerate(choice.options) if not option.seconds & taken]
            like = [at for at in free if choice.options[at].convention == convention]
            place = next(iter((*like, *free)), -1)
            if place >= 0:
                taken |= choice.options[place].seconds
            plan.append(place)
        return tuple(plan)

    def _changed(self, plan: Plan) -> Iterator[Plan]:
        """The plan with one answer changed, then with two answers exchanged."""
        for number, choice in enumerate(self.asked):
            for place in range(len(choice.options)):
                changed = (*plan[:number], place, *plan[number + 1 :])
                if self._possible(changed):
                    yield changed

    def _any(self, plan: Plan) -> Iterator[Plan]:
        """All plans, likely answers first."""
        ranges = [range(len(choice.options)) for choice in self.asked]
        plans = itertools.islice(itertools.product(*ranges), RUNS * RUNS)
        yield from (each for each in sorted(plans, key=sum) if self._possible(each))

    def _possible(self, plan: Plan) -> bool:
        """Whether no parameter of the second model is used twice."""
        used = [name for option in self._chosen(plan) for name in option.seconds]
        for choice, at in zip(self.asked, plan, strict=True):
            if at < 0:
                used += {piece.second for name in choice.names for piece in self._rows[name].pieces}
        return len(set(used)) == len(used)

    # -- what is proved

    def _proved(
        self, plan: Plan, before: frozenset[int], agreeing: frozenset[int]
    ) -> dict[str, ParameterRow]:
        """The plan's rows behind which something agrees that did not before; all of them where
        everything agrees."""
        gained = agreeing - before
        rows: dict[str, ParameterRow] = {}
        for choice, at in zip(self.asked, plan, strict=True):
            if at >= 0 and gained and self._shown(choice, gained):
                option = choice.options[at]
                rows |= {row.first: _row(row, option) for row in option.rows}
        return rows

    def _bears_out(self, choice: Choice, agreeing: frozenset[int]) -> bool:
        """Whether values behind a question's weights say that their rows are right; each projection
        of an attention agrees with itself in any order of features."""
        return choice.options[0].told != ATTENDED and self._shown(choice, agreeing)

    def _shown(self, choice: Choice, gained: frozenset[int]) -> bool:
        behind = readers_of(self.matching.first.graph, set(choice.names))
        return any(self.trials.targets[number].first.node in behind for number in gained)


def _row(row: ParameterRow, option: Option) -> ParameterRow:
    named = option.convention not in ("", TURNED)
    how = f", by the convention: {option.convention}" if named else ""
    return replace(row, confidence=SURE, proved=True, reason=f"{TRIED}{how}")
