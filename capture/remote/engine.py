"""The engine of a model in another process: each method is one question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

from padiff_graph.capture.engine import Array, Run
from padiff_graph.capture.graph import ComputationGraph, Node
from padiff_graph.capture.late_array import LateArray, fresh
from padiff_graph.capture.python_state import ABSENT, Change, PythonState, Watch
from padiff_graph.capture.remote.client import Client
from padiff_graph.capture.remote.handles import Elsewhere, RemoteModel, RemoteTensor

__all__ = ["RemoteEngine", "RemoteNative", "RemoteSession", "restored", "traced"]


@dataclass(frozen=True)
class RemoteNative:
    """Which captured graph of the other process a node is of."""

    graph: Elsewhere


@dataclass(frozen=True)
class RemoteSession:
    """A capture's session, which stays in the other process.

    Attributes:
        graph: the capture there.
        rung, abstract: as of `Session`.
        example, below: what it was traced with.
        copies: the same capture in further processes, where they were asked for it.
    """

    graph: Elsewhere
    rung: str
    abstract: bool
    example: Any = None
    below: str = ""
    copies: list[tuple[ComputationGraph, RemoteEngine]] = field(default_factory=list)

    @property
    def tensors(self) -> Mapping[int, Any]:
        """None of them is here."""
        return {}


def traced(model: RemoteModel, example: Mapping[str, Any], below: str = "") -> ComputationGraph:
    """A model's capture, made in the process of the model."""
    return _described(model.caller.ask("trace", model, example, below=below), example, below)


def _described(data: Mapping[str, Any], example: Mapping[str, Any], below: str) -> ComputationGraph:
    number: Elsewhere = data["graph"]
    native = RemoteNative(number)
    records = []
    for node in data["nodes"]:
        object.__setattr__(node, "native", native)
        records.append(node)
    graph = ComputationGraph.build(data["framework"], records, **data["facts"])
    graph.session = RemoteSession(number, data["rung"], data["abstract"], example, below)
    return graph


@dataclass
class RemoteRun(Run):
    """A run that stays in the other process, but for its arrays.

    Attributes:
        origin: the run there.
    """

    origin: Elsewhere | None = None


class _RemotePython:
    """A model's Python state in the other process, as `PythonState` answers for it."""

    def __init__(self, client: Client, watch: Elsewhere) -> None:
        self.client, self.watch = client, watch

    def changed(self) -> Iterator[Change]:
        """Where something is not as it was found; the values stay there."""
        for owner, name in self.client.ask("watch.changed", self.watch):
            yield Change(owner, name, None, None)

    def now(self, owner: str, name: str) -> Any:
        """What stands there comes to: its leaves by the way to them."""
        answer = self.client.ask("watch.now", self.watch, owner, name)
        return ABSENT if answer is None else restored(answer)

    def restore(self) -> None:
        """Puts everything back."""
        self.client.ask("watch.restore", self.watch)


def restored(leaves: Mapping[str, Any]) -> Any:
    """A value whose `plain_leaves` are these."""
    if set(leaves) == {""}:
        return leaves[""]
    return {way.removeprefix("."): leaf for way, leaf in leaves.items()}


class RemoteEngine:
    """`Engine`, for a model of another process."""

    def __init__(self, model: RemoteModel) -> None:
        self.model = model
        self.framework = model.framework
        self.client = cast(Client, model.caller)

    def _ask(self, what: str, *arguments: Any, **named: Any) -> Any:
        return self.client.ask(f"engine.{what}", self.model, *arguments, **named)

    @contextmanager
    def quiet(self, *, values: bool = True) -> Iterator[Watch]:
        """As of `Engine`."""
        with self.client.within("engine.quiet", self.model, values=values) as (watch, alive):
            python = cast(PythonState, _RemotePython(self.client, watch)) if alive else None

            def written() -> frozenset[str]:
                names: frozenset[str] = self.client.ask("watch.written", watch)
                return names

            yield Watch(python, written)

    def tensor(
        self, array: Array, dtype: str | None = None, requires_grad: bool = False
    ) -> RemoteTensor:
        """As of `Engine`."""
        made: RemoteTensor = self._ask("tensor", array, dtype, requires_grad)
        return made

    def array(self, tensor: RemoteTensor) -> Array:
        """As of `Engine`."""
        if isinstance(tensor, LateArray):
            return cast(Array, tensor)
        array: Array = self._ask("array", tensor)
        return array

    def parameters(self) -> dict[str, Any]:
        """As of `Engine`."""
        held: dict[str, Any] = self._ask("parameters")
        return held

    def assign(self, values: Mapping[str, Array]) -> None:
        """As of `Engine`."""
        late = {name for name, array in values.items() if isinstance(array, LateArray)}
        self._ask("assign", {name: values[name] for name in values if name not in late})
        for name in late:  # one in memory at a time
            self._ask("assign", {name: values[name]})

    def inputs(self, graph: ComputationGraph) -> dict[int, Any]:
        """As of `Engine`."""
        assert isinstance(graph.session, RemoteSession)
        held: dict[int, Any] = self._ask("inputs", graph.session.graph)
        return held

    def forward(self, example: Mapping[str, Any], *, grad: bool) -> Run:
        """As of `Engine`; the run itself stays there."""
        origin, facts = self._ask("forward", example, grad=grad)
        return RemoteRun(**facts, origin=origin)

    def evaluate(self) -> None:
        """As of `Engine`."""
        self._ask("evaluate")

    def observe(self, example: Mapping[str, Any]) -> dict[tuple[str, int], list[Array]]:
        """As of `Engine`."""
        seen: dict[tuple[str, int], list[Array]] = self._ask("observe", example)
        return seen

    def backward(
        self,
        run: Run,
        cotangents: Mapping[str, Array] | None = None,
        loss: Any = None,
        *,
        again: bool = False,
    ) -> None:
        """As of `Engine`."""
        assert isinstance(run, RemoteRun)
        given = None if cotangents is None else dict(cotangents)
        run.gradients.update(self._ask("backward", run.origin, given, loss, again=again))

    def hooked_parameters(self) -> frozenset[str]:
        """As of `Engine`."""
        names: frozenset[str] = self._ask("hooked_parameters")
        return names

    def hooked(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """As of `Engine`."""
        after: dict[str, Array] = self._ask("hooked", dict(gradients))
        return after

    def run(
        self,
        node: Node,
        operands: Sequence[Any],
        *,
        double: bool = False,
        draw: Array | None = None,
    ) -> tuple[Any, ...]:
        """As of `Engine`; the node goes by its number."""
        assert isinstance(node.native, RemoteNative)
        results: tuple[Any, ...] = self._ask(
            "run", node.native.graph, node.id, list(operands), double=double, draw=draw
        )
        return results

    def grad(
        self,
        outputs: Sequence[Any],
        inputs: Sequence[Any],
        cotangents: Sequence[Any],
        *,
        again: bool = False,
    ) -> list[Any]:
        """As of `Engine`."""
        given = list(outputs), list(inputs), list(cotangents)
        found: list[Any] = self._ask("grad", *given, again=again)
        return found

    def late(self, array: Array, dtype: str | None, arrived: Callable[[Array], None] | None) -> Any:
        """As of `Engine`; gradients of such weights are asked where the model lives."""
        return self.tensor(fresh(array), dtype)

    def saving(self) -> AbstractContextManager[None]:
        """As of `Engine`; runs that are recorded are asked whole."""
        return nullcontext()

    def recording(self, on: bool) -> AbstractContextManager[None]:
        """As of `Engine`."""
        return self.client.within("engine.recording", self.model, on)
