"""What a framework can do besides running: one protocol for each ability of a `Backend`.

A backend offers each of them as a plain module with functions of these names, so that nothing has
to be instantiated and mypy holds the module against the protocol. Tensors, models and optimizers
are the framework's own and opaque to the caller; numpy arrays are the common currency.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from padiff_graph.capture.engine import Array
from padiff_graph.capture.graph import ComputationGraph, Node

__all__ = [
    "Checkpoints",
    "DeclaredExample",
    "Export",
    "Known",
    "LateWeights",
    "Optimizers",
    "Scripts",
    "StandIn",
    "State",
    "Threads",
    "Trace",
    "Values",
    "WatchedStep",
]

Model = Any
Optimizer = Any
Tensor = Any


class Trace(Protocol):
    """Capturing is the one thing that every framework does in its own way, by its own compiler.

    What comes out is the same for all: a `ComputationGraph` of native operations with module
    paths and source lines, together with what the engine needs to rerun them.
    """

    def __call__(
        self, model: Model, example: Mapping[str, Any], *, below: str = ""
    ) -> ComputationGraph:
        """Captures the model in the mode it is in, uncertified.

        `graph.session` is set, `session.rung` names the way it took and `session.abstract` says
        that there are no numbers to run on. The model and all global state are as before
        afterwards, also after a failure.

        Args:
            model: the model.
            example: keyword arguments of its forward.
            below: try only the ways of capturing that come after this one.

        Raises:
            CaptureError: naming the user's line and what can be done.
        """
        ...


class Values(Protocol):
    """What users hand in and models return are nested structures with tensors somewhere inside.

    Telling tensors from everything else, and reading them, needs no model and no engine; it is
    asked before anything is captured, to refuse wrong inputs early.
    """

    def is_tensor(self, value: object, /) -> bool:
        """Whether a value is a tensor of this framework."""
        ...

    def materialised(self, value: Tensor, /) -> bool:
        """Whether a tensor holds numbers; one that stands for a shape only does not."""
        ...

    def dtype(self, value: Tensor, /) -> str:
        """A tensor's dtype in graph spelling: "float32", "int64", "bool", ..."""
        ...

    def array(self, value: Tensor, /) -> Array:
        """A tensor's numbers on the host; what numpy lacks (bfloat16) as float32."""
        ...

    def tensor(self, value: Array, /) -> Tensor:
        """A tensor of an array's numbers, dtype and shape; the array is copied."""
        ...


class State(Protocol):
    """A check must leave the process and the user's model as it found them.

    The frameworks keep modes, flags, random states and gradients in different places, so each
    says by itself what there is to take, compare and put back.
    """

    def kept(self, model: Model, /) -> AbstractContextManager[None]:
        """Puts modes, flags, gradients, random states and global switches back at the end."""
        ...

    def snapshot(self, model: Model, example: Any, /) -> dict[str, object]:
        """Everything that a check could change, by a label that says what it is; for tests."""
        ...


class StandIn(Protocol):
    """A half-precision model can be captured on every CPU where float64 stands for its precision.

    What the code casts to float32 by hand stays float32; what follows the model's own dtype shows
    as float64.
    """

    def given(self, model: Model, /) -> str:
        """The half precision that a model's weights are given in: "bfloat16", "float16"; "" where
        they are in neither, or in both."""
        ...

    def copied(self, model: Model, precision: str, loss: Callable[[Any], Any] | None, /) -> Model:
        """A copy in float64: of all floats, or of the low ones alone where the model has some or
        `precision` is one of autocast (`capture/autocast.py`).

        With a loss it returns that too (`capture/with_loss.py`).
        """
        ...

    def example(self, given: Mapping[str, Any], low_alone: bool, /) -> dict[str, Any]:
        """The example with its floats in float64, or the low ones alone: as they are handed to a
        model that is given in half precision, or runs under autocast."""
        ...

    def asking(self, precision: str, /) -> AbstractContextManager[set[int]]:
        """Code that asks for the dtype inside is answered as a model of that precision would be.

        Yields what `explicit_casts` needs of a capture made inside.
        """
        ...

    def explicit_casts(self, graph: ComputationGraph, noted: set[int], /) -> frozenset[int]:
        """Nodes that are casts asked for by the code, not by promotion."""
        ...


class LateWeights(Protocol):
    """A model may be larger than the memory: built without numbers, its weights in files.

    It is run all the same, eagerly and by its capture: a weight is read when an operation asks for
    it and let go behind it, and read again in the backward; its gradient is handed over as soon as
    it is there.
    """

    def attached(
        self, model: Model, weights: Mapping[str, Array], /
    ) -> AbstractContextManager[None]:
        """Inside, what the model has no numbers for is read from these.

        Raises:
            padiff_graph.capture.late_weights.WeightsError: where something is missing or of
                another shape.
        """
        ...


class Threads(Protocol):
    """On the CPU one framework may take every core and another a single one.

    Sums then round differently and one side takes most of the time; so both get the same number
    while a check runs. A framework that starts no threads of its own has no such ability.
    """

    def threads(self) -> int:
        """How many threads one operation runs on; 0 where that cannot be told."""
        ...

    def threaded(self, number: int, /) -> AbstractContextManager[None]:
        """Operations inside run on so many threads."""
        ...


@dataclass(frozen=True)
class WatchedStep:
    """One step of an optimizer, as a callable or a loop took it.

    Attributes:
        optimizer: the framework's own.
        gradients: what the update rule was handed, clipped and scaled but without decay, by
            parameter name.
        settings: of each parameter at that moment, by parameter name.
    """

    optimizer: Optimizer
    gradients: Mapping[str, Array]
    settings: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class WatchedPass:
    """One backward pass, with the model's runs since the one before.

    Attributes:
        inputs, outputs: of each run of the model, arrays by leaf name.
        training: whether the model was in training mode, for each run.
        loss: the number that was differentiated.
        gradients: what stands in the parameters afterwards, by parameter name.
        slopes: gradients of the outputs of each run, by leaf name.
        autocast: the half precision of an autocast around a run, "" for none.
    """

    inputs: tuple[Mapping[str, Array], ...]
    outputs: tuple[Mapping[str, Array], ...]
    training: tuple[bool, ...]
    loss: float
    gradients: Mapping[str, Array]
    slopes: tuple[Mapping[str, Array], ...] = ()
    autocast: str = ""


class Optimizers(Protocol):
    """Training steps are compared too, and an optimizer's settings and state in words for both.

    Names of settings ("learning rate", "epsilon") and of state ("first moment") are the same for
    every framework; parameters go by their first dotted name. A framework that cannot train, as
    ONNX, has no such ability.
    """

    def is_optimizer(self, thing: object, /) -> bool:
        """Whether a thing is one of this framework's optimizers."""
        ...

    def refusal(self, optimizer: Optimizer, /) -> str:
        """Why a step cannot be taken with it, "" where it can."""
        ...

    def trainable(self, model: Model, /) -> set[str]:
        """Names of the parameters whose gradient is asked for."""
        ...

    def settings(self, optimizer: Optimizer, model: Model, /) -> dict[str, dict[str, object]]:
        """What the optimizer does to each of the model's parameters that it owns."""
        ...

    def masters(self, optimizer: Optimizer, model: Model, /) -> dict[str, Tensor]:
        """Float32 copies of weights in half precision that the optimizer keeps or owns."""
        ...

    def copies(self, model: Model, tensors: Sequence[Tensor], /) -> dict[str, Tensor]:
        """Which of some tensors are float32 copies of the model's weights in half precision."""
        ...

    def state(self, optimizer: Optimizer, model: Model, /) -> dict[str, dict[str, Array]]:
        """What the optimizer remembers: parameter name -> name of the state -> numbers."""
        ...

    def watching(self, model: Model, /) -> AbstractContextManager[list[WatchedStep | WatchedPass]]:
        """Notes every step that an optimizer takes of this model's parameters, whoever calls it,
        and every backward pass before it.

        Nothing of the watching outlives the context.
        """
        ...

    def schedule(self, optimizer: Optimizer, /) -> str:
        """The class of what changes its learning rate once somebody steps it; "" where nothing
        is known to."""
        ...

    def is_hooked(self, optimizer: Optimizer, /) -> bool:
        """Whether code of the user's runs with each step, which may do what settings do not say."""
        ...

    def bare(self, optimizer: Optimizer, /) -> None:
        """Leaves the optimizer nothing but its update rule: no clipping, no hooks.

        Only inside `kept`, which puts them back.
        """
        ...

    def advance(self, optimizer: Optimizer, /) -> None:
        """One step, and gradients cleared."""
        ...

    def learn(self, loss: Tensor, /) -> None:
        """Differentiates a loss into the parameters' own gradients, as a training loop does."""
        ...

    def clear(self, model: Model, /) -> None:
        """Drops all gradients."""
        ...

    def gradients(self, model: Model, /) -> dict[str, Array]:
        """The gradients that arrived, by parameter name."""
        ...

    def put_gradients(self, model: Model, numbers: Mapping[str, Array], /) -> None:
        """Sets gradients by parameter name; parameters that are not named get none."""
        ...

    def overwrite(self, tensor: Tensor, numbers: Array, /) -> None:
        """Puts numbers into a tensor that is no parameter of the model."""
        ...

    def saved(self, optimizer: Optimizer, model: Model, /) -> Callable[[], None]:
        """Remembers the optimizer and the parameters' values; called, the answer puts them back."""
        ...

    def kept(self, optimizer: Optimizer, model: Model, /) -> AbstractContextManager[None]:
        """Puts the optimizer and the parameters' values back at the end."""
        ...


class Known(str):
    """What stands for an operand whose numbers are known.

    Attributes:
        numbers: them.
    """

    numbers: tuple[int | float | bool, ...]

    def __new__(cls, name: str, numbers: tuple[int | float | bool, ...]) -> Known:
        """What stands for it, and its numbers."""
        known = super().__new__(cls, name)
        known.numbers = numbers
        return known


class Scripts(Protocol):
    """A finding can be handed on as a script that needs the framework and nothing of this package.

    So each captured operation has to be written as the native call that it stands for.
    """

    @property
    def PRELUDE(self) -> str:
        """Functions that the lines of a script call, each by the framework's name and a suffix.

        They stand two blank lines apart and only those that are called are written: FW_leaf,
        FW_array, FW_saved and FW_gradients, and whatever `expression` calls.
        """
        ...

    def expression(self, node: Node, operands: list[str], /, *, model: bool = False) -> str:
        """An operation's call, as an expression that yields the list of its results.

        Args:
            node: an operation, with its native handle.
            operands: what stands for each operand; "None" for an absent one.
            model: whether the call stands in a model, which writes its running statistics and may
                be captured; operands may be `Known` then.

        Raises:
            NotRunnable: where the operation is more than a call.
        """
        ...

    def resized(self, node: Node, sizes: Callable[[int], int], /) -> Node:
        """The operation with each extent that its attributes name changed; itself where none is.

        Args:
            node: an operation, with its native handle.
            sizes: from an extent to what it becomes.
        """
        ...


class Checkpoints(Protocol):
    """Weights are converted from files without a model, which only the framework can unpickle."""

    def read(self, path: Path, /) -> tuple[dict[str, Array], frozenset[str]]:
        """The state dict of a checkpoint file, weights only; bfloat16 as its bits in uint16.

        Returns:
            the arrays by name, and the names of those that are bfloat16.

        Raises:
            ValueError: the file is no checkpoint, holds more than weights, or no state dict.
        """
        ...

    def arrays(self, state: Mapping[str, Any], /) -> dict[str, Array]:
        """The tensors of a state dict as arrays, as in `read`; other entries left out."""
        ...


class DeclaredExample(Protocol):
    """A model in a file may declare its inputs' shapes, and then needs no example of the user's."""

    def __call__(self, model: Model, /) -> dict[str, Array]:
        """Seeded random arrays of the declared shapes.

        Raises:
            CaptureError: a bad file.
        """
        ...


class Export(Protocol):
    """A captured graph written in the framework's own file format, for its own viewers."""

    def __call__(self, graph: ComputationGraph, path: str | os.PathLike[str], /) -> None:
        """Writes the file."""
        ...
