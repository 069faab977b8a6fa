"""The closed list of what a cause can be: a stable id, what it means, and an example.

docs/causes.md is this table as a page. An id never changes its meaning; new ones are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from padiff_graph.capture.normal.operator_table import OPERATORS
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.graph_kinds import GRADIENTS, STRUCTURE
from padiff_graph.findings.kind import Kind, kind_of
from padiff_graph.findings.output_kinds import OUTPUTS
from padiff_graph.findings.precision_kinds import PRECISIONS
from padiff_graph.findings.size_kinds import SIZES
from padiff_graph.findings.state_kinds import STATE
from padiff_graph.findings.training_kinds import FRAMEWORKS, TOLERANCE, TRAINING, WEIGHTS
from padiff_graph.findings.value_kinds import VALUES

__all__ = ["KINDS", "SETTINGS", "cause_id", "setting_kind"]

SETTINGS = (
    "algorithm",
    "learning rate",
    "learning rate decay",
    "momentum",
    "momentum decay",
    "dampening",
    "nesterov",
    "maximize",
    "beta1",
    "beta2",
    "epsilon",
    "amsgrad",
    "rho",
    "centered",
    "initial accumulator",
    "weight decay",
    "kind of weight decay",
    "coupled weight decay",
    "always adapt",
    "master weights",
    "gradient clipping",
    "gradient scale",
    "gradient",
    "gradients after a step",
    "steps of the optimizer in one call",
    "state carried in",
    "accumulation",
    "loss factor",
    "unscaling of gradients",
    "update without a gradient",
    "average of weights",
)
"""Settings of optimizers, in the words that both frameworks share."""
OPEN = frozenset({"values.differ", "gradient.differs"})
"""Kinds that say only that there is a difference: what the numbers show of it names the cause."""


def _attribute_kinds() -> Iterator[Kind]:
    """One kind for every attribute that the normal form has, whatever the operator."""
    owners = {name: op for op, operator in OPERATORS.items() for name in operator.attributes}
    for name, op in sorted(owners.items()):
        yield kind_of(
            f"attribute.{name}",
            f"the attribute `{name}` of matched operators has two values",
            op=op,
            name=name,
            first_value=1,
            second_value=2,
        )
    yield kind_of(
        "attribute.native",
        "an attribute of an operator that the normal form does not know has two values",
        op="my_op",
        name="mode",
        first_value="a",
        second_value="b",
    )


def _setting_kinds() -> Iterator[Kind]:
    """One kind for every setting of an optimizer."""
    for setting in (*SETTINGS, "setting"):
        if setting_kind(setting) in ALONE:
            continue
        yield kind_of(
            setting_kind(setting),
            (
                "an optimizer's setting outside this list has two values"
                if setting == "setting"
                else f"the optimizers' {setting} has two values"
            ),
            step=1,
            setting=setting,
            first_setting=0.1,
            second_setting=0.01,
            first_class="AdamW",
            second_class="AdamW",
        )


ALONE = frozenset({"optimizer.master_weights"})
"""Kinds of settings that `TRAINING` has with facts of their own."""


def setting_kind(setting: str) -> str:
    """The kind of a difference in one setting of the optimizers."""
    known = setting if setting in SETTINGS else "setting"
    return f"optimizer.{known.replace(' ', '_')}"


KINDS: Mapping[str, Kind] = {
    kind.id: kind
    for kind in (
        *STRUCTURE,
        *SIZES,
        *_attribute_kinds(),
        *GRADIENTS,
        *VALUES,
        *PRECISIONS,
        *OUTPUTS,
        *STATE,
        *FRAMEWORKS,
        *TOLERANCE,
        *WEIGHTS,
        *TRAINING,
        *_setting_kinds(),
    )
}
"""Every kind by its id."""


def cause_id(cause: Cause) -> str:
    """The stable id of a cause: of what the numbers show where nothing else is known of a
    difference."""
    if cause.kind in OPEN and cause.seen is not None:
        return cause.seen.kind
    return cause.kind
