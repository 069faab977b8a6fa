"""What every framework's engine can do: run a model eagerly, rerun captured nodes, differentiate.

The engine is the only door to a framework for everything above `capture/`. One class implements it
in each of `capture/torch/engine.py`, `capture/paddle/engine.py`, `capture/onnx/engine.py`; tensors
are the framework's own and opaque to the caller. numpy arrays are the common currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.handed_in import Containers
from padiff_graph.capture.python_state import Watch

__all__ = ["Array", "Engine", "NotRunnable", "Run", "same_numbers", "session_of"]

Array = np.ndarray[Any, Any]
Tensor = Any


class NotRunnable(RuntimeError):
    """A node cannot be rerun on its own; the message says which and why."""


@dataclass
class Run:
    """An eager run of the user's own model.

    Attributes:
        outputs: the output tensors by leaf name (as `Node.name` of the output nodes), attached
            to their gradient graph where one was recorded.
        structure: the model's output as it came, for a loss function.
        buffers: every buffer, and every parameter that the run has written, after the run, by
            dotted name.
        gradients: gradients of float inputs ("input:NAME") and parameters ("parameter:NAME"),
            filled by `Engine.backward`; a missing key means that no gradient arrived.
        leaves: the float input leaves that were made to require gradients, by leaf name.
        written: the input leaves that the run has written in place, as it left them, by leaf name.
        containers: the lists and dicts that were handed in, with what the run made of them.
        drew: whether the run drew random numbers.
    """

    outputs: dict[str, Tensor]
    structure: Any
    buffers: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    leaves: dict[str, Tensor] = field(default_factory=dict)
    written: dict[str, Array] = field(default_factory=dict)
    containers: Containers = field(default_factory=dict)
    drew: bool = False


def session_of(graph: ComputationGraph) -> Any:
    """What a capture keeps beside its graph.

    Raises:
        NotRunnable: a graph that was loaded from a file.
    """
    if graph.session is None:
        raise NotRunnable("the graph was loaded from a file and has no example; capture it again")
    return graph.session


def same_numbers(first: Array, second: Array) -> bool:
    """Whether two arrays are equal, NaN counting as NaN."""
    if np.array_equal(first, second):  # without the copies that looking for NaN takes
        return True
    return first.dtype.kind in "fc" and bool(np.array_equal(first, second, equal_nan=True))


class Engine(Protocol):
    """One framework's way of running. Made for one model by its backend; never changes that model.

    `double` below: compute in float64. Floating operands arrive as float64, and dtype attributes
    of float32 (a cast, an arange, a full) are answered in float64.
    """

    framework: str

    def quiet(self, *, values: bool = True) -> AbstractContextManager[Watch]:
        """What runs inside leaves the model and all global state as they were.

        Buffers, grads, hooks, the RNG, default dtype and mode, also after an exception. Without
        `values` the numbers of parameters and buffers are not looked after: enough for captured
        operations, which write nothing. What is yielded tells what was changed so far.
        """
        ...

    def tensor(self, array: Array, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """A fresh leaf tensor on the model's device.

        Args:
            array: the numbers; copied.
            dtype: in graph spelling, where numpy lacks it.
            requires_grad: whether its gradient is asked for.
        """
        ...

    def array(self, tensor: Tensor) -> Array:
        """The tensor's values, detached, on the host; bfloat16 as float32.

        Never a live view of something that may be written later.
        """
        ...

    def parameters(self) -> dict[str, Tensor]:
        """The model's parameters and buffers by first dotted name: detached, sharing memory."""
        ...

    def assign(self, values: Mapping[str, Array]) -> None:
        """Writes parameters and buffers of the user's model in place, in their own dtype.

        All or nothing: shapes are checked before the first is written.
        """
        ...

    def inputs(self, graph: ComputationGraph) -> dict[int, Tensor]:
        """The example's leaf tensors by the id of their input node."""
        ...

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """Runs the user's own model eagerly on the example, in the mode that it is in."""
        ...

    def evaluate(self) -> None:
        """Puts the model into evaluation mode; inside `quiet`, which puts modes back."""
        ...

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """What each call of each module returns in an eager forward, by (path, call).

        Empty where a framework cannot tell.
        """
        ...

    def backward(
        self,
        run: Run,
        cotangents: Mapping[str, Array] | None = None,
        loss: Tensor | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Differentiates a run and fills `run.gradients`; `.grad` of the model is not touched.

        Args:
            run: a run with `grad`.
            cotangents: by output name, or else
            loss: a scalar computed from `run.structure`.
            again: keep what the run recorded for another backward.

        Raises:
            NotRunnable: where the framework has no gradients.
        """
        ...

    def hooked_parameters(self) -> frozenset[str]:
        """Names of the parameters on which hooks of the user's stand that see their gradients."""
        ...

    def hooked(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """What the hooks on parameters make of these gradients, by parameter name.

        `.grad` of the model is not touched. `backward` leaves these hooks out.
        """
        ...

    def run(
        self,
        node: Node,
        operands: Sequence[Tensor | None],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Reruns one captured operation natively and differentiably, out of place.

        Args:
            node: the operation.
            operands: in the order of `node.inputs`; None where one is absent.
            double: see the class.
            draw: the raw numbers, uniform in [0, 1) or of the standard normal distribution, of
                which a random operation makes its mask or noise; None to draw by itself.

        Returns:
            The results, as many as `node.outputs`; None for what is no tensor.

        Raises:
            NotRunnable: where this framework cannot run the node by itself.
        """
        ...

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        *,
        again: bool = False,
    ) -> list[Tensor | None]:
        """Gradients of the inputs, None where no path leads to one; `again` as in `backward`."""
        ...

    def late(
        self, array: Array, dtype: str | None, arrived: Callable[[Array], None] | None
    ) -> Tensor:
        """A tensor of numbers that are read now, for one operation.

        Inside `saving` nothing holds them until the backward.

        Args:
            array: the numbers.
            dtype: in graph spelling, where numpy lacks it.
            arrived: is given each gradient that a later `grad` brings; None where none is asked
                for.
        """
        ...

    def saving(self) -> AbstractContextManager[None]:
        """What is recorded inside keeps no numbers of `late` tensors: they are read again."""
        ...

    def recording(self, on: bool) -> AbstractContextManager[None]:
        """Switches recording of gradients on or off for what is run inside."""
        ...
