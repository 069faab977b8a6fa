"""Running Paddle: the user's layer eagerly, and captured operations one by one, with gradients."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import numpy as np
import paddle

from padiff_graph.capture import leaf_names as leaves
from padiff_graph.capture.engine import Array, Run, Tensor, same_numbers, session_of
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.handed_in import HandedIn
from padiff_graph.capture.late_array import LateArray, kept
from padiff_graph.capture.late_weights import LateModel, late_model
from padiff_graph.capture.paddle import internals, values
from padiff_graph.capture.paddle.internals import Patch
from padiff_graph.capture.paddle.late_weights import Reader, reading
from padiff_graph.capture.paddle.layer_tensors import named_tensors
from padiff_graph.capture.paddle.missing_bias import refuse_missing_bias
from padiff_graph.capture.paddle.missing_kernel import kernels_said
from padiff_graph.capture.paddle.quiet import quiet
from padiff_graph.capture.paddle.refusals import refusals_said
from padiff_graph.capture.paddle.rerun import rerun
from padiff_graph.capture.paddle.state import generators
from padiff_graph.capture.python_state import Watch

__all__ = ["PaddleEngine"]

SHOWN = (-3.0, 1e6, -1e-6)
"""Sizes of what a parameter's hooks are shown to see whether there are any: chosen so that scaling,
negating and clipping to one or to zero change it, and clipping far from one or dropping what is
small."""


class PaddleEngine:
    """The `Engine` of one Paddle layer. Tensors are eager Paddle tensors."""

    framework = "paddle"

    def __init__(self, model: paddle.nn.Layer) -> None:
        refuse_missing_bias(model)
        self.model = model
        self.weights = late_model(model)
        self.reader = Reader()
        self.arrived: dict[str, Array] = {}
        self._own: dict[str, Tensor] = named_tensors(model)

    def quiet(self, *, values: bool = True) -> AbstractContextManager[Watch]:
        """Everything run inside leaves the layer and Paddle's global state as they were."""
        if self.weights is None:
            return quiet(self.model, values=values)
        return self._quiet(self.weights, values)

    @contextmanager
    def _quiet(self, weights: LateModel, values: bool) -> Iterator[Watch]:
        with weights.kept(), quiet(self.model, values=values) as watch:
            yield watch

    def tensor(self, array: Array, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """A fresh leaf tensor; a copy of the array."""
        made = paddle.to_tensor(
            np.asarray(array, order="C")
        )  # copies; ascontiguousarray makes a number an array
        if dtype is not None and internals.spelled(made.dtype) != dtype:
            made = made.astype(dtype)
        made.stop_gradient = not requires_grad
        return made

    def array(self, tensor: Tensor) -> Array:
        """The tensor's numbers on the host."""
        return cast(Array, tensor) if isinstance(tensor, LateArray) else values.array(tensor)

    def parameters(self) -> dict[str, Tensor]:
        """The layer's parameters and buffers by first dotted name: detached, sharing memory.

        A buffer that waits for its first run (a recurrent layer's dropout state) is given as
        zeros."""
        tensors: dict[str, Tensor] = {}
        for name, tensor in named_tensors(self.model).items():
            if self.weights is not None and name in self.weights:
                tensors[name] = self.weights[name]
            elif tensor._is_initialized() or not tensor.stop_gradient:
                tensors[name] = tensor.detach()
            else:
                tensors[name] = paddle.zeros(tensor.shape, tensor.dtype)
        return tensors

    def assign(self, values: Mapping[str, Array]) -> None:
        """Writes parameters and buffers in place; what a layer fills at its first run (the dropout
        state of a recurrent one) goes on waiting for it.

        Raises:
            KeyError: an unknown name.
            ValueError: a shape that does not fit. Nothing is written then.
        """
        own = named_tensors(self.model)
        waiting = {name for name, tensor in own.items() if _waits(tensor)}
        values = {name: array for name, array in values.items() if name not in waiting}
        late = {} if self.weights is None else dict.fromkeys(self.weights.weights)
        for name, array in values.items():
            if name not in own:
                raise KeyError(f"the layer has no parameter or buffer {name}")
            _check_assignable(name, own[name], array, name in late)
        if self.weights is not None:
            self.weights.assign({name: values[name] for name in values if name in late})
        with paddle.no_grad():
            for name, array in values.items():
                if name in late:
                    continue
                own[name].set_value(self.tensor(array, internals.spelled(own[name].dtype)))

    def inputs(self, graph: ComputationGraph) -> dict[int, Tensor]:
        """The example's leaves, and constants, by the id of their node."""
        return dict(session_of(graph).tensors)

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """Runs the user's own layer eagerly, in the mode that it is in."""
        self._own = named_tensors(
            self.model
        )  # before the run: a forward may keep tensors on the layer
        # a recurrent layer's dropout state is filled by its first run, and no result of the model's
        filled = {name for name, tensor in self._own.items() if tensor._is_initialized()}
        fresh: dict[str, Tensor] = {}
        given: dict[str, Tensor] = {}
        for name, leaf in leaves.leaves(example, values.is_tensor).items():
            own = leaf.detach().clone()
            own.stop_gradient = True
            if grad and internals.spelled(own.dtype).startswith(("float", "bfloat")):
                own.stop_gradient = False
                fresh[name] = own
                own = own.clone()  # a model may write to its input, which a leaf forbids
            given[name] = own
        drawn = generators()
        with (
            self.recording(grad),
            _differentiable_recurrences(grad),
            kernels_said(),
            self._weights_read(grad),
        ):
            inputs = leaves.replace(dict(example), values.is_tensor, given)
            handed_in = HandedIn(inputs)
            structure = leaves.settled(self.model(**inputs))
        outputs = leaves.output_leaves(structure, values.is_tensor)
        buffers = {
            name: self.array(tensor)
            for name, tensor in named_tensors(self.model, buffers_only=True).items()
            if name in filled
        }
        written = self._written(example, given)
        put = handed_in.changed(values.is_tensor, self.array)
        drew = generators() != drawn
        return Run(outputs, structure, buffers, {}, fresh, written, put, drew)

    @contextmanager
    def _weights_read(self, grad: bool) -> Iterator[None]:
        """Inside, the model's layers have the weights that are in files."""
        if self.weights is None:
            yield
            return
        weights = self.weights

        def read(name: str, parameter: Tensor) -> Tensor:
            asked = grad and not parameter.stop_gradient and paddle.is_grad_enabled()
            arrived = partial(self._arrive, name) if asked else None
            return self.reader.read(weights[name], internals.spelled(parameter.dtype), arrived)

        with reading(self.model, read), self.saving():
            yield

    def _arrive(self, name: str, gradient: Array) -> None:
        self.arrived[name] = kept(gradient, self.arrived.get(name))

    def _written(self, example: Mapping[str, Any], given: Mapping[str, Tensor]) -> dict[str, Array]:
        """The input leaves that do not hold the example's numbers any more."""
        asked = leaves.leaves(example, values.is_tensor)
        arrays = {name: self.array(tensor) for name, tensor in given.items()}
        return {
            name: array
            for name, array in arrays.items()
            if not same_numbers(array, values.array(asked[name]))
        }

    def evaluate(self) -> None:
        """As of `Engine`."""
        self.model.eval()

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """Nothing: calls of modules are not told apart."""
        return {}

    def backward(
        self,
        run: Run,
        cotangents: Mapping[str, Array] | None = None,
        loss: Tensor | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Fills `run.gradients` from cotangents by output name, or from a loss; `.grad` stays
        untouched."""
        outputs, seeds = self._seeded(run, cotangents or {}, loss)
        wanted = {f"input:{name}": leaf for name, leaf in run.leaves.items()}
        for name, tensor in self._own.items():
            if not tensor.stop_gradient and (self.weights is None or name not in self.weights):
                wanted[f"parameter:{name}"] = tensor
        self.arrived = {}
        if wanted.keys() == {f"input:{name}" for name in run.leaves} and self.reader.anchors:
            gradients = self._accumulated_at(outputs, list(wanted.values()), seeds, again)
        else:
            gradients = self._grad(outputs, list(wanted.values()), seeds, again)
        run.gradients = {}
        for place, name in enumerate(wanted):
            gradient, gradients[place] = gradients[place], None  # let go once its numbers are taken
            if gradient is not None:
                run.gradients[name] = self.array(gradient)
        run.gradients |= {f"parameter:{name}": array for name, array in self.arrived.items()}

    def _seeded(
        self, run: Run, cotangents: Mapping[str, Array], loss: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Outputs that are differentiated, and the cotangent of each."""
        if loss is not None:
            return [loss], [paddle.ones_like(loss)]
        names = [name for name in cotangents if not run.outputs[name].stop_gradient]
        outputs = [run.outputs[name] for name in names]
        seeds = []
        for name, output in zip(names, outputs, strict=True):
            seeds.append(self.tensor(cotangents[name], internals.spelled(output.dtype)))
        return outputs, seeds

    def hooked_parameters(self) -> frozenset[str]:
        """Names of the parameters whose gradient hooks change: Paddle does not tell which ones have
        hooks, so that each is shown a gradient."""
        alike: dict[Any, list[tuple[str, Tensor]]] = defaultdict(list)
        for name, tensor in named_tensors(self.model).items():
            if _accumulates(tensor):
                alike[tuple(tensor.shape), tensor.dtype].append((name, tensor))
        found: list[str] = []
        for group in alike.values():
            rising = _rising(group[0][1])  # what many layers have in common is made once
            found += [
                name
                for name, tensor in group
                if any(self._changes(tensor, number * rising) for number in SHOWN)
            ]
        return frozenset(found)

    def _changes(self, tensor: Tensor, gradient: Array) -> bool:
        """Whether hooks make something else of a gradient."""
        shown = self.tensor(gradient, internals.spelled(tensor.dtype))
        with _arriving(tensor, shown):
            return not values.same(tensor.grad, shown)

    def hooked(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """What the hooks on parameters make of these gradients; `paddle.grad` runs none."""
        own = named_tensors(self.model)
        answer: dict[str, Array] = {}
        for name, gradient in gradients.items():
            given = self.tensor(gradient, internals.spelled(own[name].dtype))
            with _arriving(own[name], given):
                answer[name] = self.array(own[name].grad)
        return answer

    def run(
        self,
        node: Node,
        operands: Sequence[Tensor | None],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Reruns one captured operation out of place."""
        return rerun(node, operands, draw, double=double)

    def grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        *,
        again: bool = False,
    ) -> list[Tensor | None]:
        """Gradients of the inputs; outputs without gradient are left out."""
        # of a model whose weights are read, what is differentiated here was made here
        if self.weights is not None and all(tensor.is_leaf for tensor in inputs):
            return self._accumulated_at(outputs, inputs, cotangents, again)
        return self._grad(outputs, inputs, cotangents, again)

    def _grad(
        self,
        outputs: Sequence[Tensor],
        inputs: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        again: bool,
    ) -> list[Tensor | None]:
        pairs = _once(
            (output, _as(output, seed))
            for output, seed in zip(outputs, cotangents, strict=True)
            if not output.stop_gradient
        )
        places = [place for place, tensor in enumerate(inputs) if not tensor.stop_gradient]
        gradients: list[Tensor | None] = [None] * len(inputs)
        # gradients of weights that were read are handed over on the way to the anchor
        ways = [inputs[place] for place in places] + self.reader.anchors
        if not pairs or not ways:
            return gradients
        with refusals_said():
            answered = paddle.grad(
                [_behind(output, ways) for output, _ in pairs],
                ways,
                [seed for _, seed in pairs],
                retain_graph=again,
                allow_unused=True,
            )
        for place, gradient in zip(places, answered, strict=False):
            gradients[place] = gradient
        return gradients

    def _accumulated_at(
        self,
        outputs: Sequence[Tensor],
        leaves: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        again: bool,
    ) -> list[Tensor | None]:
        """`_grad` by `backward`, where every leaf that a gradient may arrive at is our own.

        `paddle.grad` differentiates a copy of the graph, and what hooks on saved tensors read for
        the copy stays in the graph that was copied: all weights in the end.
        """
        pairs = _once(
            (output, _as(output, seed))
            for output, seed in zip(outputs, cotangents, strict=True)
            if not output.stop_gradient
        )
        if pairs:
            with refusals_said():
                paddle.autograd.backward(
                    [output for output, _ in pairs], [seed for _, seed in pairs], again
                )
        gradients = [None if leaf.grad is None else leaf.grad.clone() for leaf in leaves]
        for leaf in (*leaves, *self.reader.anchors):
            leaf.clear_gradient(False)
        return gradients

    def late(
        self, array: Array, dtype: str | None, arrived: Callable[[Array], None] | None
    ) -> Tensor:
        """As of `Engine`."""
        return self.reader.read(array, dtype, arrived)

    def saving(self) -> AbstractContextManager[None]:
        """As of `Engine`."""
        return nullcontext() if self.weights is None else self.reader.saving()

    @contextmanager
    def recording(self, on: bool) -> Iterator[None]:
        """Switches recording of gradients on or off."""
        with paddle.enable_grad() if on else paddle.no_grad():
            yield


@contextmanager
def _arriving(tensor: Tensor, gradient: Tensor) -> Iterator[None]:
    """Inside, `.grad` is what stands there once this gradient arrives; then it is put back."""
    # whatever is put into `.grad` lets go of what stood there
    kept = None if tensor.grad is None else tensor.grad.clone()
    try:
        internals.put_gradient(tensor, None)
        paddle.autograd.backward([tensor], [gradient])
        yield
    finally:
        internals.put_gradient(tensor, kept)


def _rising(tensor: Tensor) -> Array:
    """Numbers from 1 to 2 in a tensor's shape, all different, so that a gradient that is turned or
    centred shows."""
    kind = np.float64 if tensor.dtype == paddle.float64 else np.float32
    numbers: Array = np.linspace(1.0, 2.0, math.prod(tensor.shape)).reshape(tensor.shape)
    return numbers.astype(kind)


def _differentiable_recurrences(grad: bool) -> AbstractContextManager[None]:
    """Recurrent layers outside training keep nothing for a backward, and everything in front of
    them would have no gradient: they compute as in training then, without dropout, which yields the
    same."""
    plain = paddle._C_ops.rnn

    def kept(*args: Any) -> Any:
        *given, _, bidirectional, width, hidden, layers, mode, seed, is_test = args
        if not is_test or not paddle.is_grad_enabled():
            return plain(*args)
        *operands, state = given
        if state is None or not state._is_initialized():
            state = paddle.zeros([0], "uint8")
        settings = bidirectional, width, hidden, layers, mode, seed
        return plain(*operands, state, 0.0, *settings, False)

    why = "outside training Paddle's recurrent layers cannot be differentiated"
    return internals.patched([Patch(paddle._C_ops, "rnn", kept, why)] if grad else [])


def _accumulates(tensor: Tensor) -> bool:
    """Whether a gradient would stand in its `.grad`."""
    floating = internals.spelled(tensor.dtype).startswith(("float", "bfloat"))
    trained = tensor.is_leaf and not tensor.stop_gradient
    return floating and trained and bool(tensor._is_initialized())


def _as(output: Tensor, seed: Tensor) -> Tensor:
    return seed if seed.dtype == output.dtype else seed.astype(output.dtype)


def _waits(tensor: Tensor) -> bool:
    """Whether a tensor is filled by the layer's first run."""
    parameter = isinstance(tensor, paddle.base.framework.EagerParamBase)
    return not tensor._is_initialized() and not parameter


def _check_assignable(name: str, tensor: Tensor, array: Array, late: bool) -> None:
    if tuple(tensor.shape) != tuple(np.shape(array)):
        raise ValueError(
            f"{name} has shape {tuple(tensor.shape)}, the values given {tuple(np.shape(array))}"
        )
    if not tensor._is_initialized() and not late:
        raise ValueError(
            f"{name} was made under LazyGuard and can hold no values yet;"
            " call its initialize() first"
        )


def _behind(output: Tensor, ways: Sequence[Tensor]) -> Tensor:
    """An output; one that is sought itself, behind a copy: `paddle.grad` answers None for a leaf
    that is an output, and loses the cotangent of another one (3.3.1)."""
    if not output.is_leaf and all(output is not way for way in ways):
        return output
    with paddle.enable_grad():
        return paddle.assign(output)


def _once(pairs: Iterable[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Each output once, with the sum of its cotangents: a model may return one tensor under two
    names."""
    sums: dict[int, tuple[Tensor, Tensor]] = {}
    for output, seed in pairs:
        if id(output) in sums:
            seed = sums[id(output)][1] + seed
        sums[id(output)] = output, seed
    return list(sums.values())
