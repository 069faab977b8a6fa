"""Reports made by hand, for the views."""

from padiff_graph.capture.normal.index_map import View
from padiff_graph.findings.cause import Cause
from padiff_graph.findings.finding import Finding
from padiff_graph.matching.result import ParameterRow, Piece
from padiff_graph.report.report import Compared, Report

HERE = __file__

EPSILON = Finding(
    "forward",
    "different",
    Cause.of(
        "attribute.epsilon",
        op="BatchNormalization",
        name="epsilon",
        first_value=0.001,
        second_value=1e-05,
    ),
    "layer1.1.bn1",
    "body.1.norms.0",
    "pd_op.batch_norm_",
    "aten.batch_norm.default",
    f"{HERE}:3",
    f"{HERE}:5",
    error=4.9e-3,
    relative=1.2e-3,
    places=(("layer1.1.bn1", "body.1.norms.0"), ("layer2.0.bn1", "body.2.norms.0")),
    order=12,
)
MISSING = Finding(
    "structure",
    "missing",
    Cause.of("operation.missing", operations=("Relu",)),
    "layer3.0.relu",
    "body.4",
    "",
    "aten.relu.default",
    "",
    f"{HERE}:7",
    places=(("layer3.0.relu", "body.4"),),
    order=40,
)
CROSSED = Finding(
    "weights",
    "suspicious",
    Cause.of(
        "parameter.exchanged",
        first_owner="fc1",
        second_owner="fc2",
        parameters=("fc1.weight",),
    ),
    "fc1",
    "fc2",
    order=1,
)

ROWS = (
    ParameterRow(
        "fc.weight",
        (Piece("head.weight", View.of((4, 3)), View.of((3, 4)).transpose((1, 0))),),
        "transpose",
        1.0,
        "equal place in the data's way",
        proved=True,
    ),
    ParameterRow("scale", (), "", 1.0, "a scale of ones", status="neutral"),
)


def failed(**changes: object) -> Report:
    facts: dict[str, object] = dict(
        passed=False,
        findings=(EPSILON, MISSING),
        regions={"equal": 60, "rounding": 1, "different": 2},
        parameters=ROWS,
        required_tolerance={"rtol": 2.5e-2, "atol": 0.11},
        tolerance={"rtol": 1e-5, "atol": 0.0},
        compared=Compared(131, 122, 63, 1, 63),
        contributions=(("layer1.1.bn1", "body.1.norms.0", 4.9e-3),),
        depth=(
            (1, "conv1", "stem.0", "forward", 1e-7, "equal"),
            (12, "layer1.1.bn1", "body.1.norms.0", "forward", 1.2e-3, "different"),
        ),
        notes=("The example decided the branch at net.py:10.",),
        models=("PortedResNet", "TorchResNet"),
        timings={"capture": 1.25},
        options={"rtol": 1e-5},
    )
    return Report(**{**facts, **changes})  # type: ignore[arg-type]


def passed() -> Report:
    return failed(
        passed=True,
        findings=(),
        regions={"equal": 63},
        tolerance={"rtol": 1e-5, "atol": 0.0},
        required_tolerance={"rtol": 3e-6, "atol": 1e-6},
        contributions=(),
        notes=(),
    )


def rounding() -> Report:
    finding = Finding(
        "forward",
        "rounding",
        Cause.of("capture.refused", text="float32 rounding: in float64 the difference vanishes"),
        error=2e-6,
        relative=3e-6,
    )
    return failed(
        findings=(finding,),
        regions={"equal": 62, "rounding": 1},
        required_tolerance={"rtol": 3e-6, "atol": 1e-6},
    )


def empty() -> Report:
    finding = Finding(
        "capture",
        "not-comparable",
        Cause.of(
            "capture.refused",
            text="the torch model could not be captured: a branch on data at net.py:3",
        ),
    )
    return failed(
        findings=(finding,),
        regions={},
        compared=Compared(),
        parameters=(),
        required_tolerance={},
        contributions=(),
        depth=(),
    )
