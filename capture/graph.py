"""The captured computation graph: one networkx graph type for torch, Paddle and ONNX.

A node is one native operation, or an input, parameter, buffer, constant or output of the model.
Nodes are numbered in program order, which is also a topological order. An edge carries one tensor,
from an output of its source to an operand position of its target; operand order matters, so the
ordered truth stands in `Node.inputs` and the networkx edges mirror it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import networkx as nx
import numpy as np

__all__ = [
    "ComputationGraph",
    "Kind",
    "Node",
    "ParameterInfo",
    "Session",
    "TensorType",
    "Value",
]

Kind = Literal["input", "parameter", "buffer", "constant", "operation", "output"]


class TensorType(NamedTuple):
    """Shape (concrete, no -1) and dtype ("float32", "bfloat16", "int64", "bool") of a value."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


class Value(NamedTuple):
    """One output of one node: the name of a tensor inside a graph."""

    node: int
    output: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One captured operation or leaf, in the framework's own terms.

    Attributes:
        id: number in program order.
        kind: what the node is.
        op: native operator, "aten.linear.default", "pd_op.matmul", "onnx.Conv"; "" for leaves.
        name: for an input or output the leaf as the user spells it ("x", "batch.mask",
            "hidden_states.0"); for a parameter or buffer its dotted name in `named_parameters()`;
            for a constant a label.
        inputs: operands in order; None where an optional operand is absent.
            An in-place operation is captured out of place: later readers read its result.
        roles: the operand names of the operator's schema, one for each of `inputs`;
            the members of a tensor list are "tensors[0]", "tensors[1]", ...
        attrs: everything of the call that is no tensor, by the schema's name, defaults filled in;
            a tuple for lists.
        outputs: type of each result; None where a result is no tensor or is unused and unknown.
        path: dotted path of the innermost module whose forward makes this call; "" is the root.
        call: which call of that module this is, 0 for the first.
        source: "file:line" of the innermost frame in the user's code, "" where unknown.
        marks: facts that matter beyond the operator: "no_grad" (computed without gradient),
            "gradient_hook", "custom_function", "random", "inplace", "unshareable_random".
        constant: the value of a constant, and of an operation that depends on constants only,
            where it is small; None otherwise.
        native: the framework's own handle (fx.Node, pir Operation, NodeProto); dropped by pickle.
    """

    id: int
    kind: Kind
    op: str = ""
    name: str = ""
    inputs: tuple[Value | None, ...] = ()
    roles: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[TensorType | None, ...] = ()
    path: str = ""
    call: int = 0
    source: str = ""
    marks: frozenset[str] = frozenset()
    constant: np.ndarray[Any, Any] | None = field(default=None, compare=False)
    native: Any = field(default=None, compare=False, repr=False)

    def type(self, output: int = 0) -> TensorType | None:
        """Shape and dtype of a result; None where it is no tensor or not known."""
        if output >= len(self.outputs):
            return None
        return self.outputs[output]

    def dtype(self, output: int = 0) -> str:
        """The dtype of a result; "" where it is no tensor or not known."""
        kind = self.type(output)
        return "" if kind is None else kind.dtype

    def shaped_constant(self) -> np.ndarray[Any, Any]:
        """The constant in the shape that the framework holds it in.

        Raises:
            ValueError: where there is none.
        """
        if self.constant is None:
            raise ValueError(f"node {self.id} ({self.op or self.kind}) holds no constant")
        kind = self.type()
        if kind is not None and kind.size == self.constant.size:
            return self.constant.reshape(kind.shape)
        return self.constant

    def __getstate__(self) -> tuple[Any, ...]:
        return tuple(None if name == "native" else getattr(self, name) for name in self.__slots__)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(self.__slots__, state, strict=True):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """A parameter or buffer that the model owns, whether the computation reads it or not.

    Attributes:
        name: first dotted name under which the model lists it.
        type: shape and dtype.
        aliases: every other dotted name of the same tensor (tied weights).
        buffer: whether it is a buffer by meaning: a buffer, or a running statistic that the
            framework lists among its parameters (Paddle's `_mean` and `_variance`).
        trainable: whether the user's model asks for its gradient.
    """

    name: str
    type: TensorType
    aliases: tuple[str, ...] = ()
    buffer: bool = False
    trainable: bool = True


class Session(Protocol):
    """What a framework's engine needs beside the graph to rerun nodes: programs, example leaves.

    What else it holds is between a framework's trace and its engine.
    """

    @property
    def tensors(self) -> Mapping[int, Any]:
        """The example's leaves and large constants by node id."""
        ...

    @property
    def rung(self) -> str:
        """The way that the capture took; "" where there is one way only."""
        ...

    @property
    def abstract(self) -> bool:
        """Whether there are shapes only, and no numbers to run on."""
        ...


if TYPE_CHECKING:
    Base = nx.MultiDiGraph[int]
else:
    Base = nx.MultiDiGraph


class ComputationGraph(Base):
    """A captured model. A real networkx graph; run networkx on it.

    Node attributes: `record` (the `Node`), and from it `kind`, `op`, `name`, `path`, `source`,
    `shape` and `dtype` of the first result, `attrs`. Edge attributes: `output`, `operand`, `role`,
    `shape`, `dtype`.

    Attributes:
        framework: "torch", "paddle" or "onnx".
        training: whether the model was in training mode.
        modules: class name of every module by its dotted path, in definition order; "" is the root.
        parameters: all parameters and buffers of the model by their first dotted name.
        notes: what the user should know of the capture, in sentences: rungs taken with the
            reason, the branch that the example decided, what was repaired.
        decided: whether numbers of the example decided what the graph holds (a branch that Python
            took, a number that went through numpy), so that it may be another one for others.
        updates: the value that a parameter or buffer holds after the run, by its first dotted name,
            for those that the run writes (running statistics, counters).
        certificate: the proof that the capture is faithful; None where none was asked for.
    """

    _node: dict[
        int, dict[str, Any]
    ]  # networkx's own, read in hot loops without a view made each time

    def __init__(self, incoming_graph_data: Any = None, **attr: Any) -> None:
        super().__init__(incoming_graph_data, **attr)
        self.framework: str = ""
        self.training: bool = False
        self.modules: dict[str, str] = {}
        self.parameters: dict[str, ParameterInfo] = {}
        self.notes: list[str] = []
        self.decided = False
        self.updates: dict[str, Value] = {}
        self.certificate: Any = None
        self.session: Session | None = None
        """None in a graph that was loaded from a file, since it is not pickled."""

    @classmethod
    def build(cls, framework: str, nodes: Iterable[Node], **facts: Any) -> ComputationGraph:
        """Makes the graph from nodes in program order; `facts` are the attributes by name."""
        graph = cls()
        graph.framework = framework
        for name, fact in facts.items():
            setattr(graph, name, fact)
        for node in nodes:
            graph.append(node)
        return graph

    def append(self, node: Node) -> None:
        """Adds a node behind its operands.

        Raises:
            ValueError: where an operand is not yet in the graph, which would break program order.
        """
        self.add_node(
            node.id,
            record=node,
            kind=node.kind,
            op=node.op,
            name=node.name,
            path=node.path,
            source=node.source,
            attrs=node.attrs,
            **_facts(node.type()),
        )
        for position, operand in enumerate(node.inputs):
            if operand is None:
                continue
            if operand.node not in self or operand.node >= node.id:
                raise ValueError(
                    f"operand {position} of node {node.id} ({node.op or node.kind}) is node "
                    f"{operand.node}, which does not stand before it; append nodes in program order"
                )
            role = ""
            if position < len(node.roles):
                role = node.roles[position]
            self.add_edge(
                operand.node,
                node.id,
                output=operand.output,
                operand=position,
                role=role,
                **_facts(self.type_of(operand)),
            )

    def record(self, node: int) -> Node:
        """The node's full record."""
        record: Node = self._node[node]["record"]
        return record

    def records(self) -> list[Node]:
        """All records in program order."""
        return [self._node[node]["record"] for node in sorted(self._node)]

    def of_kind(self, kind: Kind) -> list[Node]:
        """The records of one kind, in program order."""
        return [record for record in self.records() if record.kind == kind]

    @property
    def runnable(self) -> bool:
        """Whether there are numbers to run on: not in a graph from a file, or of shapes only."""
        return self.session is not None and not self.session.abstract

    @property
    def calls_back(self) -> bool:
        """Whether running the graph runs code of the user's: hooks, custom functions."""
        return any(node.marks & {"gradient_hook", "custom_function"} for node in self.records())

    def type_of(self, value: Value) -> TensorType | None:
        """Shape and dtype of a value, None where it is no tensor."""
        return self.record(value.node).type(value.output)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "session": None}


def _facts(kind: TensorType | None) -> dict[str, Any]:
    """Shape and dtype as networkx attributes."""
    if kind is None:
        return {"shape": None, "dtype": None}
    return kind._asdict()
