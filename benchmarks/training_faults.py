"""Training faults as data: which knob of the port's recipe stands otherwise, and what a right
answer names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAULTS", "HEALTHY", "Fault"]

ALL = ("classes", "tokens", "ctc", "masks", "noise")


@dataclass(frozen=True)
class Fault:
    """A fault and what is to be said of it.

    Attributes:
        stage: the first stage that differs.
        first: knobs of the port's recipe alone.
        both: knobs of both recipes.
        values: what stands on each side, as a report writes it; numbers are held against the
            numbers of the sentence.
        words: fragments of a sentence, one of which names what of a loss differs; any where empty.
        step: the first step that differs.
        families: of losses that it is planted into.
        steps: how many steps are taken.
        verdict: of the finding that tells it.
    """

    stage: str
    first: Mapping[str, Any]
    both: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[object, ...] = ()
    words: tuple[str, ...] = ()
    step: int = 1
    families: tuple[str, ...] = ALL
    steps: int = 3
    verdict: str = "different"


DIRECT = {"route": "optimizer"}
CALLED = {"route": "callable"}
ADAM = {"route": "optimizer", "algorithm": "adam", "rate": 1e-3}
ADAMW = {"route": "optimizer", "algorithm": "adamw", "rate": 1e-3, "decay": 0.05}
MICRO = {"micro": 2}
SCALED = {"scale": 1024.0}

LOSSES = {
    "smoothing left out": Fault(
        "loss",
        {"smoothing": 0.0},
        {**DIRECT, "smoothing": 0.1},
        (0.0, 0.1),
        ("smoothed", "smoothing", "missing", "scaled", "constant"),
        families=("classes", "tokens"),
    ),
    "sum for mean": Fault(
        "loss",
        {"reduction": "sum"},
        DIRECT,
        (),
        ("reduction", "ReduceSum", "ReduceMean", "Mean", "divided", "factor", "times"),
    ),
    "mean of sentences": Fault(
        "loss",
        {"reduction": "sentence"},
        DIRECT,
        (),
        ("missing", "extra", "reduc", "axis", "axes"),
        families=("tokens",),
    ),
    "padding counted": Fault(
        "loss",
        {"ignore": None},
        DIRECT,
        (),
        ("ignore", "label", "constant", "missing", "Where"),
        families=("tokens",),
    ),
    "ignored tokens counted by Paddle's mean": Fault(
        "loss",
        {"reduction": "framework"},
        DIRECT,
        (),
        ("missing", "extra", "Reduce", "Div", "divided", "count", "times"),
        families=("tokens",),
    ),
    "labels not shifted": Fault(
        "loss",
        {"shift": 0},
        DIRECT,
        (),
        ("shift", "slice", "cut", "size", "label", "shape", "elements", "reads"),
        families=("tokens",),
    ),
    "labels shifted twice": Fault(
        "loss",
        {"shift": 2},
        DIRECT,
        (),
        ("shift", "slice", "cut", "size", "label", "shape", "elements", "reads"),
        families=("tokens",),
    ),
    "class weights left out": Fault(
        "loss",
        {"weighted": False},
        {**DIRECT, "weighted": True},
        (),
        ("weight", "weighed", "missing", "Mul"),
        families=("classes", "masks", "noise"),
    ),
    "auxiliary loss weighed otherwise": Fault(
        "loss",
        {"auxiliary": 0.5},
        {**DIRECT, "auxiliary": 0.1},
        (),
        ("factor", "times", "scaled", "constant", "0.5", "Mul"),
    ),
    "softmax twice": Fault(
        "loss",
        {"twice": True},
        DIRECT,
        (),
        ("extra", "Softmax"),
        families=("classes", "ctc"),
    ),
    "summed in half precision": Fault(
        "loss", {"half": True}, DIRECT, (), ("Cast", "bfloat16", "precision", "rounded")
    ),
    "other blank": Fault("loss", {"blank": 36}, DIRECT, (36, 0), ("blank",), families=("ctc",)),
    "absolute for squared distance": Fault(
        "loss",
        {"distance": "l1"},
        DIRECT,
        (),
        ("Abs", "missing", "extra"),
        families=("masks", "noise"),
    ),
    "overlap weighed otherwise": Fault(
        "loss",
        {"region": 0.5},
        DIRECT,
        (),
        ("factor", "times", "scaled", "constant", "0.5", "Mul"),
        families=("masks",),
    ),
}

GRADIENTS = {
    "batch made brighter": Fault(
        "batch", {"brightness": 2.0}, {}, (), families=("classes", "ctc", "masks", "noise")
    ),
    # Paddle's recurrent layers, which the text recogniser has, have no gradient in evaluation mode,
    # and the text detector returns another output there
    "evaluation mode": Fault(
        "batch outputs", {"training": False}, {}, ("evaluation", "training"), families=("classes",)
    ),
    "loop: smoothing left out": Fault(
        "loss",
        {"smoothing": 0.0},
        {"smoothing": 0.1},
        (0.0, 0.1),
        families=("classes", "tokens"),
    ),
    "loop: sum for mean": Fault("loss", {"reduction": "sum"}, {}, ()),
    "divisor left out": Fault("accumulated", {"divided": False}, MICRO, (2,)),
    "half as many micro-batches": Fault("accumulated", {"micro": 2}, {"micro": 4}, (2, 4)),
    "gradients not cleared": Fault(
        "gradients", {"cleared": False}, {}, ("kept", "cleared"), step=2
    ),
    "callable: gradients not cleared": Fault(
        "gradients", {"cleared": False}, CALLED, ("kept", "cleared"), step=1
    ),
    "no gradient for vectors": Fault("gradients", {"stopped": True}, DIRECT, ("frozen", "trained")),
    "scale not undone": Fault("unscaled", {"unscale": "never"}, SCALED, (1024.0,)),
    "scale undone behind clipping": Fault(
        "clipped", {"unscale": "after"}, {**SCALED, "clip": "global"}, (0.01 / 1024, 0.01)
    ),
    "loop: clipping left out": Fault("clipped", {"clip": ""}, {"clip": "global"}, ("none", 0.01)),
    "loop: another limit": Fault("clipped", {"limit": 0.02}, {"clip": "global"}, (0.02, 0.01)),
    "loop: clipped one by one": Fault(
        "clipped", {"clip": "norm"}, {"clip": "global"}, (0.01, 0.01)
    ),
    "loop: clipped by value": Fault(
        "clipped", {"clip": "value", "limit": 1e-4}, {"clip": "global"}, (1e-4, "norm")
    ),
    "loop: vectors not clipped": Fault(
        "clipped", {"over": "matrices"}, {"clip": "global"}, ("none", "norm")
    ),
    "callable: another limit": Fault(
        "clipped", {"limit": 0.02}, {**CALLED, "clip": "global"}, (0.02, 0.01)
    ),
}

UPDATES = {
    "two steps for one": Fault("update", {"turns": 2}, CALLED, (2, 1)),
    "loop: two steps for one": Fault("update", {"turns": 2}, {}, (2, 1)),
    "vectors left out": Fault("update", {"frozen": True}, DIRECT, ("left alone", "trained")),
    "rate": Fault("update", {"rate": 0.02}, DIRECT, (0.02, 0.01)),
    "rate of vectors": Fault("update", {"ratio": 1.0}, {**DIRECT, "ratio": 2.0}, (0.01, 0.02)),
    "momentum": Fault("update", {"momentum": 0.8}, DIRECT, (0.8, 0.9), step=2),
    "loop: momentum": Fault("update", {"momentum": 0.8}, {}, (0.8, 0.9), step=2),
    "nesterov": Fault("update", {"nesterov": True}, DIRECT, ("True", "False")),
    "dampening": Fault(
        "update", {"dampening": 0.0}, {**DIRECT, "dampening": 0.5}, (0.0, 0.5), step=2
    ),
    "beta1": Fault("update", {"beta1": 0.95}, ADAM, (0.95, 0.9), step=2),
    "beta2": Fault("update", {"beta2": 0.95}, ADAM, (0.95, 0.999), step=2),
    "epsilon": Fault("update", {"epsilon": 1e-5}, ADAM, (1e-5, 1e-8)),
    "loop: epsilon": Fault("update", {"epsilon": 1e-5}, {**ADAM, "route": "loop"}, (1e-5, 1e-8)),
    "amsgrad": Fault(
        "update", {"amsgrad": False}, {**ADAM, "amsgrad": True, "rate": 3e-3}, ("False", "True")
    ),
    "decay": Fault("update", {"decay": 0.01}, ADAMW, (0.01, 0.05)),
    "decay of vectors": Fault("update", {"spared": False}, {**ADAMW, "spared": True}, (0.05, 0.0)),
    "coupled decay": Fault(
        "update", {"algorithm": "adam"}, ADAMW, ("added to the gradient", "decoupled")
    ),
    "maximize": Fault(
        "update", {"maximize": False}, {**DIRECT, "maximize": True}, ("False", "True")
    ),
    "Adam for SGD": Fault("update", {"algorithm": "adam"}, DIRECT, ("Adam", "SGD")),
    "state carried in": Fault("update", {"carried": 2}, ADAM, ("moment", "none")),
    "Adamax of two frameworks": Fault(
        "update",
        {},
        {**ADAM, "algorithm": "adamax", "epsilon": 1e-3},
        verdict="framework-divergence",
    ),
    "RMSProp of two frameworks": Fault(
        "update",
        {},
        {**ADAM, "algorithm": "rmsprop", "epsilon": 1e-3},
        verdict="framework-divergence",
    ),
}

SCHEDULES = {
    "warm-up off by one": Fault("schedule", {"offset": 1}, {"schedule": "warmup"}, (0.005, 0.0025)),
    "schedule ahead of the step": Fault(
        "schedule", {"before": True}, {"schedule": "warmup"}, (0.005, 0.0025)
    ),
    "cosine of another length": Fault(
        "schedule",
        {"length": 10},
        {"schedule": "cosine", "length": 5},
        (0.00975528, 0.00904508),
        step=2,
    ),
    "factor of a decay": Fault(
        "schedule",
        {"gamma": 0.5},
        {"schedule": "steps", "length": 2},
        (0.005, 0.001),
        step=3,
        steps=4,
    ),
    "callable: no schedule": Fault(
        "schedule", {"schedule": ""}, {**CALLED, "schedule": "warmup"}, (0.01, 0.0025)
    ),
}

AVERAGES = {
    "decay of the average": Fault("averages", {"average": 0.99}, {"average": 0.9}, (0.99, 0.9)),
    "average ahead of the update": Fault(
        "averages", {"early": True}, {"average": 0.9}, ("before", "behind")
    ),
    "no warm-up of the average": Fault(
        "averages", {"warm": False}, {"average": 0.99, "warm": True}, (0.99, 0.1)
    ),
}

FAULTS: Mapping[str, Fault] = {**LOSSES, **GRADIENTS, **UPDATES, **SCHEDULES, **AVERAGES}
"""All kinds of faults, in the order of a step."""

HEALTHY: Mapping[str, Mapping[str, Any]] = {
    "healthy: sgd": DIRECT,
    "healthy: adamw": ADAMW,
    "healthy: callable": {
        **ADAMW,
        "route": "callable",
        "clip": "global",
        "schedule": "warmup",
    },
    "healthy: loop": {
        "micro": 2,
        "scale": 256.0,
        "clip": "global",
        "schedule": "cosine",
        "length": 10,
        "average": 0.9,
        "decay": 1e-4,
        "nesterov": True,
    },
}
"""What both sides do alike, for ten steps."""
