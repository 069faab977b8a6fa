"""What a case is: a published bug, a pair with and without it, and what a right answer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Case", "Pair", "Quantity", "Right", "Side", "Source", "Training", "Twin", "Verdict"]

Side = Literal["port", "reference", "framework", "nobody"]
"""Who is wrong: the Paddle model, the torch model, a framework's own code, or nobody."""

Quantity = Literal["output", "gradient", "buffer", "loss", "weights", "rounded output"]
"""What a bug changes: outputs, gradients under random cotangents, what a forward writes into
buffers, the loss, the weights after training, the outputs of a run in half precision."""

Verdict = Literal["different", "framework", "none"]
"""The right verdict: the models differ; the frameworks differ though the models are written alike;
no alarm."""


@dataclass(frozen=True)
class Source:
    """A public report.

    Attributes:
        project: "owner/name" on GitHub.
        number: of the issue or pull request.
        says: what it says, in our words.
        read: whether its text was read; False where only its subject is known.
    """

    project: str
    number: int
    says: str
    read: bool = True

    @property
    def name(self) -> str:
        """As one writes it: owner/name#number."""
        return f"{self.project}#{self.number}"


@dataclass(frozen=True)
class Training:
    """How a pair is trained; the first of two is Paddle's.

    Attributes:
        losses: (paddle, torch), each of one argument, the output.
        optimizers: (paddle, torch), or None: only the loss is compared.
        loops: (paddle, torch) callables of (model, batch) in the place of optimizers.
        steps: how many.
    """

    losses: tuple[Any, Any] | None = None
    optimizers: tuple[Any, Any] | None = None
    loops: tuple[Any, Any] | None = None
    steps: int = 1


@dataclass(frozen=True)
class Pair:
    """Two models with the same weights, as a port that loaded its checkpoint.

    Attributes:
        layer: the port, a Paddle Layer.
        module: the reference, a torch Module.
        arrays: the example, forward's argument name -> array.
        training: losses and optimizers, where the bug is theirs.
        copied: whether a tool may copy the weights once more; False where how they were loaded is
            part of the bug.
        rows: weights that hold the reference's rows in another order by design -> that order.
    """

    layer: Any
    module: Any
    arrays: Mapping[str, Any]
    training: Training | None = None
    copied: bool = True
    rows: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Twin:
    """Both models in torch, to be run in half precision: Paddle lacks most such kernels on a CPU.

    Attributes:
        port: what the Paddle model computes, cast for cast.
        reference: the torch model.
    """

    port: Any
    reference: Any


@dataclass(frozen=True)
class Right:
    """What a right answer is.

    Attributes:
        verdict: see the type.
        places: module paths of the port; the first finding is to name one of them. "" is the root.
        causes: ids of docs/causes.md that the first finding may have.
        words: for tools without such ids: one of these in what the tool says of the cause.
    """

    verdict: Verdict
    places: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One published bug.

    Attributes:
        name: unique, a few words with underscores.
        sources: the reports it is rebuilt after, the first the one it follows.
        mechanism: what goes wrong, in a sentence.
        wrong: who is wrong.
        changes: what it changes; nothing for a harmless one.
        build: of whether the bug is in, to the pair.
        right: what is to be said of the faulty form; of the healthy one always nothing.
        training_mode: whether the models are in training mode.
        precision: "bfloat16" or "float16" where the bug shows in half precision alone.
        twin: of whether the bug is in, to both models in torch; with `precision` only.
    """

    name: str
    sources: tuple[Source, ...]
    mechanism: str
    wrong: Side
    changes: tuple[Quantity, ...]
    build: Callable[[bool], Pair]
    right: Right
    training_mode: bool = False
    precision: str = ""
    twin: Callable[[bool], Twin] | None = field(default=None)
