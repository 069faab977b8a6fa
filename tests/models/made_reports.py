"""Matchings and reports made by hand, of any size."""

from pathlib import Path

from padiff_graph.capture.graph import ComputationGraph, Node, ParameterInfo, TensorType, Value
from padiff_graph.capture.normal.form import Edge, Location, NormalGraph, NormalNode
from padiff_graph.capture.normal.index_map import View
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import Match, Matching, ParameterRow, Piece
from padiff_graph.report.report import Compared, Report

HERE = Path(__file__).resolve()
WIDE = TensorType((2, 8), "float32")
LINE = next(
    number
    for number, line in enumerate(HERE.read_text().splitlines(), 1)
    if line.startswith("def side")
)


def side(framework: str, blocks: int, width: int, linear: str, relu: str, stem: str) -> NormalGraph:
    """An input, then blocks of linear and relu operations, one parameter each."""
    modules = {"": "Network"}
    nodes = [Node(0, "input", name="x", outputs=(WIDE,))]
    normal = [
        NormalNode(
            0,
            "Input",
            outputs=(WIDE,),
            locations=(Location(Value(0), View.of(WIDE.shape)),),
            native=(0,),
            name="x",
        )
    ]
    parameters = {}
    value, last = Value(0), 0
    for block in range(blocks):
        modules[f"{stem}.{block}"] = "Block"
        for layer in range(width):
            path = f"{stem}.{block}.{layer}"
            modules[path] = "Linear"
            name = f"{path}.weight"
            parameters[name] = ParameterInfo(name, TensorType((8, 8), "float32"))
            weight = Node(
                len(nodes), "parameter", name=name, outputs=(TensorType((8, 8), "float32"),)
            )
            nodes.append(weight)
            call = Node(
                len(nodes),
                "operation",
                linear,
                "",
                (value, Value(weight.id)),
                ("x", "weight"),
                {"bias": False},
                (WIDE,),
                path,
                source=f"{HERE}:{LINE}",
            )
            nodes.append(call)
            act = Node(
                len(nodes),
                "operation",
                relu,
                "",
                (Value(call.id),),
                ("x",),
                {},
                (WIDE,),
                f"{stem}.{block}",
                source=f"{HERE}:{LINE + 1}",
            )
            nodes.append(act)
            value = Value(act.id)
            for op, native in (("Parameter", weight), ("Linear", call), ("Relu", act)):
                edges = (
                    ()
                    if op == "Parameter"
                    else (
                        (Edge(last), Edge(len(normal) - 1))
                        if op == "Linear"
                        else (Edge(len(normal) - 1),)
                    )
                )
                normal.append(
                    NormalNode(
                        len(normal),
                        op,
                        edges,
                        {},
                        native.outputs,
                        native=(native.id,),
                        name=native.name,
                        path=native.path,
                        source=native.source,
                    )
                )
            last = len(normal) - 1
    modules[stem] = "Sequential"
    modules[f"{stem}.{blocks}"] = "Identity"
    nodes.append(Node(len(nodes), "output", name="output", inputs=(value,), outputs=(WIDE,)))
    graph = ComputationGraph.build(framework, nodes, modules=modules, parameters=parameters)
    return NormalGraph(graph, tuple(normal), {"output": Edge(last)})


def matching(blocks: int = 3, width: int = 2) -> Matching:
    """The same network twice, under other names."""
    first, second = (
        side("paddle", blocks, width, "pd_op.matmul", "pd_op.relu", "layers"),
        side("torch", blocks, width, "aten.linear.default", "aten.relu.default", "body"),
    )
    rows = tuple(
        ParameterRow(
            one,
            (Piece(other, View.of((8, 8)), View.of((8, 8))),),
            "transpose" if number % 2 else "identity",
            0.99,
            "feeds the same operation",
            proved=bool(number % 3),
        )
        for number, (one, other) in enumerate(
            zip(first.graph.parameters, second.graph.parameters, strict=True)
        )
    )
    return Matching(
        first,
        second,
        tuple(
            Match(node.id, node.id, "hash", 0.98, "the only one computed like this")
            for node in first.nodes
        ),
        parameters=rows,
    )


def report(
    blocks: int = 3,
    width: int = 2,
    findings: tuple[Finding, ...] | None = None,
    passed: bool = False,
) -> Report:
    """A failed report with two findings, or what is asked for."""
    found = matching(blocks, width)
    if findings is None:
        findings = (
            ()
            if passed
            else (
                Finding(
                    "forward",
                    "different",
                    Cause.of(
                        "capture.refused", text="Linear.bias False against </script><b>True</b>"
                    ),
                    "layers.1.0",
                    "body.1.0",
                    "pd_op.matmul",
                    "aten.linear.default",
                    f"{HERE}:{LINE}",
                    f"{HERE}:{LINE}",
                    0.25,
                    0.5,
                    (("layers.1.0", "body.1.0"), ("layers.2.0", "body.2.0")),
                    order=8,
                ),
                Finding(
                    "structure",
                    "missing",
                    Cause.of("operation.missing", operations=("Relu",)),
                    "layers.2",
                    "body.2",
                    "",
                    "aten.relu.default",
                    "",
                    f"{HERE}:{LINE + 1}",
                    order=18,
                ),
            )
        )
    depth = tuple(
        (
            node.id,
            node.path.replace("body", "layers"),
            node.path,
            phase,
            1e-7 * (1 + node.id % 7),
            "equal",
        )
        for node in found.second.nodes
        if node.op == "Linear"
        for phase in ("forward", "backward")
    )
    return Report(
        passed,
        findings,
        {"equal": len(depth) // 2},
        found.parameters,
        {"rtol": 2e-6, "atol": 1e-7},
        {"capture first": 1.0},
        Compared(len(depth), len(found.parameters), len(depth) // 2, 1, len(depth)),
        {"rtol": 1e-5, "atol": 0.0},
        (("layers.1.0", "body.1.0", 0.5),),
        depth,
        ("a note with <markup>",),
        ("Port", "Network"),
        matching=found,
        rounding=(2e-6,) * len(depth),
    )
