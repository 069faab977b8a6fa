"""The proof that a capture is faithful: the graph is replayed and held against the eager run.

Compared are the outputs, what the run writes to buffers, and the gradients of inputs and
parameters under random cotangents, or under a loss's own where they are equal bit for bit; both
runs start from the same random state, so that random operations draw alike. A gradient that does
not arrive counts as zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padiff_graph.capture.departure import backward_departure, forward_departure
from padiff_graph.capture.engine import Array, Engine, NotRunnable, Run
from padiff_graph.capture.graph import ComputationGraph, Node, Value

__all__ = ["KINDS", "Certificate", "Eager", "certify", "cotangents", "lively", "standing"]

KINDS = ("output", "buffer", "input gradient", "parameter gradient")
"""What is compared."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-5, "float16": 2e-2, "bfloat16": 5e-2}
"""Largest difference, relative to the largest value, that is rounding; by the coarsest dtype met.

A replay makes the same calls on the same numbers and is as a rule equal bit for bit; this leaves
room for operations that add up in varying order.
"""


NOISES = 4.0
"""So many times what rounding moves may a result differ beyond the tolerance: rounding of the cotangents,
and of the weights where the replay's forward differs at all."""
MOST = 1e-3
"""Most that an output may differ so."""


@dataclass(frozen=True)
class Certificate:
    """What the replay of a capture showed.

    Attributes:
        valid: whether the graph computes what the model computes.
        certified: whether it could be replayed at all; `valid` is False where it could not.
        errors: for each of `KINDS` the largest difference relative to the largest value.
        counts: for each of `KINDS` how many arrays were compared.
        reasons: what differs, or why nothing could be compared, in sentences.
        backward: whether gradients were compared.
        seconds: time the certificate took.
    """

    valid: bool
    certified: bool = True
    errors: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    backward: bool = True
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.valid:
            return (
                "differs" if self.certified else "not possible"
            ) + f": {'; '.join(self.reasons)}"
        compared = ", ".join(
            f"{count} {kind}{'s' if count != 1 else ''}"
            for kind, count in self.counts.items()
            if count
        )
        return f"equal in {compared}; largest relative difference {max(self.errors.values(), default=0.0):.2g}"


@dataclass(frozen=True)
class Eager:
    """What the user's own model yields, to hold a replay against.

    Attributes:
        before: the buffers before the run.
        outputs, buffers, gradients: as of `Run`, as arrays; gradients under `seeds`.
        seeds: the cotangents by output name.
        differentiable: names of the inputs whose gradient was asked for.
        ungraded: why there are no gradients, "" where there are.
        exact: whether a replay has to be equal bit for bit, since the cotangents are a loss's own.
    """

    before: Mapping[str, Array]
    outputs: Mapping[str, Array]
    buffers: Mapping[str, Array]
    gradients: Mapping[str, Array]
    seeds: Mapping[str, Array]
    differentiable: frozenset[str]
    ungraded: str = ""
    exact: bool = False

    @classmethod
    def of_loss(
        cls,
        run: Run,
        outputs: Mapping[str, Array],
        before: Mapping[str, Array],
        seeds: Mapping[str, Array],
    ) -> Eager | None:
        """A run that was differentiated under a loss's cotangents; None where a gradient is zero throughout.

        A loss may cancel (a mean behind a normalisation does), so that its gradients are what rounding leaves.
        A replay that leaves just the same, bit for bit, went through the same operations; zeros say nothing.
        """
        if not all(np.any(gradient) for gradient in run.gradients.values()):
            return None
        return cls(
            before,
            outputs,
            dict(run.buffers),
            dict(run.gradients),
            seeds,
            frozenset(run.leaves),
            exact=True,
        )

    @classmethod
    def of(
        cls,
        engine: Engine,
        run: Run,
        outputs: Mapping[str, Array],
        before: Mapping[str, Array],
        seed: int = 0,
        again: bool = False,
    ) -> Eager:
        """Differentiates a run with these outputs under random cotangents; see `Engine.backward` for `again`."""
        seeds = cotangents(outputs, seed)
        ungraded = ""
        run.gradients = {}
        try:
            engine.backward(run, seeds, again=again)
        except NotRunnable as error:
            ungraded = str(error)
        return cls(
            before,
            outputs,
            dict(run.buffers),
            dict(run.gradients),
            seeds,
            frozenset(run.leaves),
            ungraded,
        )


def standing(graph: ComputationGraph, engine: Engine) -> dict[str, Array]:
    """The model's buffers as they are now."""
    own = engine.parameters()
    return {
        name: engine.array(own[name])
        for name, info in graph.parameters.items()
        if info.buffer and name in own
    }


def certify(
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    *,
    seed: int = 0,
    eager: Eager | None = None,
) -> Certificate:
    """Replays a graph against its model.

    Args:
        graph: the capture, with its session.
        engine: the model's engine.
        example: the example that the capture was made with.
        seed: of the cotangents.
        eager: the eager run to hold the replay against, where it was made already with the weights as they are.
            Where it is one that the replay has to equal bit for bit and does not, another is made.
    """
    started = time.perf_counter()
    if getattr(graph.session, "abstract", False):
        return Certificate(
            False,
            False,
            reasons=(
                "the model or the example has shapes and no numbers, so that nothing can be run",
            ),
            backward=False,
        )
    if eager is None:
        with engine.quiet():
            before = standing(graph, engine)
            run = engine.forward(example, grad=graph.framework != "onnx")
            eager = Eager.of(
                engine,
                run,
                {name: engine.array(tensor) for name, tensor in run.outputs.items()},
                before,
                seed,
            )
            del run
    seeds, backward = eager.seeds, not eager.ungraded
    if not backward and graph.framework != "onnx":
        graph.notes.append(f"gradients are not certified, eager mode has none: {eager.ungraded}")
    with engine.quiet(values=graph.calls_back):
        try:
            replayed, _ = replay(graph, engine, seeds if backward else None, eager.differentiable)
        except NotRunnable as error:
            return Certificate(
                False,
                False,
                reasons=(f"the graph cannot be replayed: {error}",),
                backward=backward,
                seconds=time.perf_counter() - started,
            )
    ours = _by_kind(eager.outputs, eager.buffers, eager.gradients, graph.parameters)
    # what the graph does not write stays as it was; what eager leaves out holds no numbers (a recurrent layer's scratch)
    replayed["buffer"] = {
        name: array
        for name, array in ({**eager.before} | replayed["buffer"]).items()
        if name in ours["buffer"]
    }
    if eager.exact and ours["output"]:
        names = {kind: {*ours[kind], *replayed[kind]} for kind in KINDS}
        if not all(
            _same(ours[kind].get(name), replayed[kind].get(name))
            for kind in KINDS
            for name in names[kind]
        ):
            return certify(graph, engine, example, seed=seed)
        return Certificate(
            True,
            True,
            dict.fromkeys(KINDS, 0.0),
            {kind: len(found) for kind, found in names.items()},
            seconds=time.perf_counter() - started,
        )

    def noise(forward: bool) -> dict[str, dict[str, float]]:
        moved = _moved(
            engine,
            example,
            seeds,
            backward,
            {name for name, info in graph.parameters.items() if forward and not info.buffer},
        )
        return {
            kind: {
                name: _error(array, moved[kind].get(name), 0.0, gradient=True)
                for name, array in arrays.items()
            }
            for kind, arrays in ours.items()
        }

    return _judged(graph, engine, example, ours, replayed, noise, backward, started)


def _by_kind(
    outputs: Mapping[str, Array],
    buffers: Mapping[str, Array],
    gradients: Mapping[str, Array],
    known: Collection[str],
) -> dict[str, dict[str, Array]]:
    return {
        "output": dict(outputs),
        "buffer": {name: array for name, array in buffers.items() if name in known},
        "input gradient": {
            name.removeprefix("input:"): g
            for name, g in gradients.items()
            if name.startswith("input:")
        },
        "parameter gradient": {
            name.removeprefix("parameter:"): g
            for name, g in gradients.items()
            if name.startswith("parameter:")
        },
    }


def _same(one: Array | None, other: Array | None) -> bool:
    """Whether both are there and equal bit for bit, NaN included."""
    return (
        one is not None
        and other is not None
        and one.dtype == other.dtype
        and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    )


def lively(outputs: Mapping[str, Array], seeds: Mapping[str, Array]) -> bool:
    """Whether every number of every output that has a gradient has a cotangent other than zero."""
    return all(
        name in seeds and bool(seeds[name].all())
        for name, array in outputs.items()
        if array.dtype.kind in "fc"
    )


def _moved(
    engine: Engine,
    example: Mapping[str, Any],
    seeds: Mapping[str, Array],
    backward: bool,
    names: Collection[str],
) -> dict[str, dict[str, Array]]:
    """Eager once more, the weights of these names and every cotangent moved by its rounding.

    What large numbers leave of each other (the mean of centred values, a gradient that cancels) moves a
    lot: a replay that adds up in another order differs by as much.
    """
    generator = np.random.default_rng(1)

    def rounded(array: Array) -> Array:
        return np.asarray(
            array * (1 + np.finfo(array.dtype).eps * generator.standard_normal(array.shape)),
            array.dtype,
        )

    with engine.quiet():
        own = {
            name: engine.array(tensor)
            for name, tensor in engine.parameters().items()
            if name in names
        }
        engine.assign(
            {name: rounded(array) for name, array in own.items() if array.dtype.kind == "f"}
        )
        run = engine.forward(example, grad=backward)
        outputs = {name: engine.array(tensor) for name, tensor in run.outputs.items()}
        if backward:
            engine.backward(
                run,
                {
                    name: rounded(array) if array.dtype.kind in "fc" else array
                    for name, array in seeds.items()
                },
            )
        return _by_kind(outputs, run.buffers, run.gradients, run.buffers)


def cotangents(outputs: Mapping[str, Array], seed: int = 0) -> dict[str, Array]:
    """Random cotangents for floating and complex outputs, the same for the same seed, name order and shapes."""
    generator = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name, array in outputs.items():
        if array.dtype.kind in "fc":
            drawn = generator.standard_normal(array.shape)
            found[name] = np.asarray(
                drawn + 1j * generator.standard_normal(array.shape)
                if array.dtype.kind == "c"
                else drawn,
                array.dtype,
            )
    return found


def replay(
    graph: ComputationGraph,
    engine: Engine,
    seeds: Mapping[str, Array] | None,
    differentiable: Collection[str],
    keep: bool = False,
) -> tuple[dict[str, dict[str, Array]], dict[Value, Any]]:
    """Runs every node in program order.

    Returns:
        Outputs, written buffers and gradients by kind and name; and the values, those that nothing
        reads any more only with `keep`.

    Args:
        graph, engine: as in `certify`.
        seeds: cotangents by output name; None for a forward only.
        differentiable: names of the inputs whose gradient is asked for.
        keep: keep every value.

    Raises:
        NotRunnable: where the engine cannot run a node.
    """
    given = engine.inputs(graph)
    own = engine.parameters()
    known: dict[Value, Any] = {}
    wanted: dict[tuple[str, str], Any] = {}
    outputs: dict[str, Value] = {}
    last = _last_reads(graph)
    for node in graph.records():
        value = Value(node.id)
        if node.kind == "output":
            outputs[node.name] = next(operand for operand in node.inputs if operand is not None)
        elif node.kind == "operation":
            results = engine.run(
                node, [None if operand is None else known[operand] for operand in node.inputs]
            )
            known.update({Value(node.id, number): result for number, result in enumerate(results)})
            for gone in () if keep else last.get(node.id, ()):
                known.pop(gone, None)
        elif node.kind in ("parameter", "buffer"):
            info = graph.parameters[node.name]
            known[value] = _fresh(
                engine,
                own[node.name],
                info.type.dtype,
                seeds is not None
                and info.trainable
                and info.type.dtype.startswith(("float", "bfloat")),
            )
            if info.trainable:
                wanted["parameter gradient", node.name] = known[value]
        elif node.id in given:
            asked = seeds is not None and node.kind == "input" and node.name in differentiable
            known[value] = _fresh(engine, given[node.id], _dtype(graph, value), asked)
            if asked:
                wanted["input gradient", node.name] = known[value]
        else:
            if node.constant is None:
                raise NotRunnable(
                    f"the value of {node.name or f'constant {node.id}'} is not known; capture the model again"
                )
            known[value] = engine.tensor(node.constant, _dtype(graph, value))
    found: dict[str, dict[str, Array]] = {kind: {} for kind in KINDS}
    found["output"] = {name: engine.array(known[value]) for name, value in outputs.items()}
    found["buffer"] = {name: engine.array(known[value]) for name, value in graph.updates.items()}
    if seeds:
        names = [name for name in outputs if name in seeds]
        tensors = [known[outputs[name]] for name in names]
        gradients = engine.grad(
            tensors,
            list(wanted.values()),
            [engine.tensor(seeds[name], _dtype(graph, outputs[name])) for name in names],
        )
        sought = list(wanted)
        del tensors, wanted
        if not keep:
            known = {}
        for place, (kind, name) in enumerate(sought):
            gradient, gradients[place] = gradients[place], None  # let go once its numbers are taken
            if gradient is not None:
                found[kind][name] = engine.array(gradient)
    return found, known


def _fresh(engine: Engine, tensor: Any, dtype: str | None, differentiable: bool) -> Any:
    return engine.tensor(engine.array(tensor), dtype, differentiable)


def _dtype(graph: ComputationGraph, value: Value) -> str | None:
    kind = graph.type_of(value)
    return kind.dtype if kind else None


def _last_reads(graph: ComputationGraph) -> dict[int, list[Value]]:
    """Values by the node that reads them last; outputs and updates are never done with."""
    last: dict[Value, int] = {}
    kept = set(graph.updates.values())
    for node in graph.records():
        for operand in node.inputs:
            if operand is not None:
                last[operand] = node.id
                if node.kind == "output":
                    kept.add(operand)
    found: dict[int, list[Value]] = {}
    for value, node_id in last.items():
        if value not in kept:
            found.setdefault(node_id, []).append(value)
    return found


def _judged(
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    eager: Mapping[str, Mapping[str, Array]],
    replayed: Mapping[str, Mapping[str, Array]],
    noise: Callable[[bool], Mapping[str, Mapping[str, float]]],
    backward: bool,
    started: float,
) -> Certificate:
    dtypes = {info.type.dtype for info in graph.parameters.values()} | {
        node.outputs[0].dtype for node in graph.records() if node.outputs and node.outputs[0]
    }
    tolerance = max((TOLERANCE[dtype] for dtype in dtypes if dtype in TOLERANCE), default=0.0)
    errors: dict[str, float] = {}
    counts: dict[str, int] = {}
    reasons: list[str] = []
    departed: dict[str, list[str]] = {}
    moves: Mapping[str, Mapping[str, float]] | None = None
    for kind in KINDS:
        ours, theirs = eager[kind], dict(replayed[kind])
        floor = 1e-6 * max((_largest(array) for array in ours.values()), default=0.0)
        worst: list[tuple[float, str]] = []
        for name in dict.fromkeys([*ours, *theirs]):
            one, other = ours.get(name), theirs.get(name)
            error = _error(one, other, floor, gradient="gradient" in kind)
            worst.append((error, name))
        worst.sort(key=lambda pair: -pair[0])
        errors[kind] = worst[0][0] if worst else 0.0
        counts[kind] = len(worst)
        wrong = [(error, name) for error, name in worst if not error <= tolerance]
        if wrong and np.isfinite(wrong[0][0]) and not departed:
            # a forward that came out equal leaves the backward its own rounding alone
            moves = (
                noise(any(errors[one] > 0 for one in ("output", "buffer") if one in errors))
                if moves is None
                else moves
            )
            room = {
                name: NOISES * moved
                for name, moved in moves[kind].items()
                if not _silent(ours.get(name), theirs.get(name))
            }
            wrong = [
                (error, name)
                for error, name in wrong
                if not error
                <= tolerance + min(room.get(name, 0.0), MOST if kind == "output" else np.inf)
            ]
        if wrong:
            departed[kind] = [name for _, name in wrong]
            error, name = wrong[0]
            reasons.append(
                f"{kind} {name} of the replayed graph differs from eager by {error:.2g} of its largest value"
                + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
            )
    if not counts["output"]:
        reasons.append("no output was compared")
    if reasons:
        reasons += _places(graph, engine, example, departed)
    return Certificate(
        not reasons, True, errors, counts, tuple(reasons), backward, time.perf_counter() - started
    )


def _silent(one: Array | None, other: Array | None) -> bool:
    """Whether one of two has no number but zeros and the other has: what rounding leaves is not exactly zero throughout."""
    return (one is None or not np.any(one)) != (other is None or not np.any(other))


def _largest(array: Array) -> float:
    if array.dtype.kind == "f" and array.size:
        largest = float(max(array.max(), -array.min()))
        if np.isfinite(largest):
            return largest
    finite = (
        np.abs(array[np.isfinite(array)])
        if array.dtype.kind in "fc"
        else np.abs(array.astype(np.float64))
    )
    return float(finite.max()) if finite.size else 0.0


def _error(one: Array | None, other: Array | None, floor: float, gradient: bool) -> float:
    """Largest difference over largest value; infinite where shapes or what is not finite differ."""
    if one is None or other is None:
        known = one if one is not None else other
        return 0.0 if known is None or (gradient and not np.any(known)) else float("inf")
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return float("inf")
    if np.array_equal(one, other):
        return 0.0
    if one.dtype.kind not in "fc":
        return float("inf")
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)) or not np.array_equal(
        one[~finite], other[~finite], equal_nan=True
    ):
        return float("inf")
    wide = np.complex128 if one.dtype.kind == "c" else np.float64
    difference = float(
        np.abs(one[finite].astype(wide) - other[finite].astype(wide)).max(initial=0.0)
    )
    return difference / max(_largest(one), floor, 1e-30)


def _places(
    graph: ComputationGraph,
    engine: Engine,
    example: Mapping[str, Any],
    departed: Mapping[str, Sequence[str]],
) -> list[str]:
    """Where the graph departs from eager, in sentences, and delicate operations to look at."""
    found: list[str] = []
    observe = getattr(engine, "observe", None)
    node: Node | None = None
    if ("output" in departed or "buffer" in departed) and observe is not None:
        with engine.quiet():
            observed = observe(example)
        with engine.quiet():
            _, known = replay(graph, engine, None, (), keep=True)
            node = forward_departure(graph, known, engine.array, observed)
        if node is not None:
            found.append(
                f"the forward departs in {node.path or 'the root module'} ({node.op}, {node.source or 'line unknown'})"
            )
    wrong = {
        name for kind in ("input gradient", "parameter gradient") for name in departed.get(kind, ())
    }
    if wrong and "output" not in departed:
        node = backward_departure(graph, wrong)
        if node is not None:
            found.append(
                f"gradients differ up to {node.op} in {node.path or 'the root module'} ({node.source or 'line unknown'}): what the backward does there or behind it got lost"
            )
    delicate = [
        node
        for node in graph.of_kind("operation")
        if node.marks & {"inplace", "gradient_hook", "custom_function"}
    ]
    return found + [f"look at {node.op} ({node.source or node.path})" for node in delicate[:3]]
