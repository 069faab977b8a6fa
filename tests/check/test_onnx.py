"""Models against their ONNX export.

Aligned, a folded BatchNorm is no difference, a change after export is found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

import padiff_graph as pg

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
TOLERANT = {"rtol": 1e-4, "atol": 1e-5}


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.block = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, image: Any) -> Any:
        x = torch.relu(self.norm(self.conv(image)))
        return self.head(self.block(x.flatten(2).transpose(1, 2)))


@pytest.fixture(scope="module")
def exported() -> tuple[Any, onnx.ModelProto, Any]:
    torch.manual_seed(0)
    module = Net().eval()
    with torch.no_grad():
        module.norm.running_mean.normal_()
        module.norm.running_var.uniform_(0.5, 1.5)
        for norm in (module.block.norm1, module.block.norm2):
            norm.weight.normal_(1.0, 0.1)
            norm.bias.normal_(0.0, 0.1)
    image = torch.randn(2, 3, 4, 4)
    return (
        module,
        torch.onnx.export(module, (image,), dynamo=True, verbose=False).model_proto,
        image,
    )


def example(proto: onnx.ModelProto, image: Any) -> Any:
    return {"image": image}, {proto.graph.input[0].name: image.numpy()}


def test_export_is_aligned(exported: Any) -> None:
    module, proto, image = exported
    before = proto.SerializeToString()
    report = pg.compare(module, proto, example(proto, image), options=TOLERANT)
    assert report.passed, str(report)
    assert report.compared.outputs == 1
    assert report.compared.regions > 5
    assert report.compared.gradients == 0
    assert any("forward only" in note for note in report.notes)
    assert proto.SerializeToString() == before


def test_changed_epsilon_is_found(exported: Any) -> None:
    module, proto, image = exported
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    norm = [node for node in changed.graph.node if node.op_type == "LayerNormalization"][1]
    next(attribute for attribute in norm.attribute if attribute.name == "epsilon").f = 1e-3
    report = pg.compare(
        module, changed, example(changed, image), options={"rtol": 1.0, "atol": 1.0}
    )
    assert not report.passed
    first = next(finding for finding in report.findings if finding.fails)
    assert first.paddle_path == "block.norm2"
    assert "0.001" in first.cause
    assert "1e-05" in first.cause


def test_changed_weight_is_found(exported: Any) -> None:
    module, proto, image = exported
    from padiff_graph.capture.onnx.engine import OnnxEngine, with_parameters

    name = next(
        node.input[1]
        for node in proto.graph.node
        if node.op_type in ("Gemm", "MatMul")
        and node.input[1] in OnnxEngine(proto).parameters()
        and OnnxEngine(proto).parameters()[node.input[1]].size == 40
    )
    value = OnnxEngine(proto).parameters()[name].copy()
    value.reshape(-1)[3] += 0.5
    report = pg.compare(
        module, with_parameters(proto, {name: value}), example(proto, image), options=TOLERANT
    )
    assert not report.passed
    assert next(finding for finding in report.findings if finding.fails).paddle_path == "head"


def test_backward_cannot_be_asked_for(exported: Any) -> None:
    module, proto, image = exported
    with pytest.raises(pg.UsageError, match="no gradients"):
        pg.compare(module, proto, example(proto, image), options={"diff_phase": "both"})


def test_structure_and_map(exported: Any) -> None:
    module, proto, image = exported
    (best,) = pg.suggest_layer_map(module, proto, example(proto, image))
    mapped = {row.paddle_name: row for row in best.parameters}
    assert mapped["head.weight"].status == "mapped"
    assert mapped["head.weight"].transform in ("identity", "transpose")
    assert pg.structural_diff(module, proto, example(proto, image)) is not None


def test_weights_towards_onnx_make_a_new_model(exported: Any) -> None:
    module = exported[0]
    torch.manual_seed(1)
    other = Net().eval()
    for parameter in other.block.parameters():
        torch.nn.init.normal_(parameter)  # the exporter merges equal constants
    plain = torch.onnx.export(
        other.block, (torch.randn(2, 4, 8),), dynamo=True, verbose=False
    ).model_proto
    before = plain.SerializeToString()
    inputs = (
        {
            plain.graph.input[0].name: (
                np.random.default_rng(0).standard_normal((2, 4, 8)).astype(np.float32)
            )
        },
        {"src": torch.randn(2, 4, 8)},
    )
    inputs[1]["src"] = torch.from_numpy(next(iter(inputs[0].values())))
    new = pg.assign_weight(plain, module.block, example_inp=inputs)
    assert plain.SerializeToString() == before
    report = pg.compare(new, module.block, inputs, options=TOLERANT)
    assert report.passed, str(report)


def test_two_torch_models() -> None:
    torch.manual_seed(0)
    one, other = Net().eval(), Net().eval()
    other.load_state_dict(one.state_dict())
    image = torch.randn(2, 3, 4, 4)
    assert pg.compare(one, other, ({"image": image}, {"image": image}), options=TOLERANT).passed
    other.norm.eps = 1e-2
    report = pg.compare(one, other, ({"image": image}, {"image": image}), options=TOLERANT)
    assert not report.passed
    assert next(finding for finding in report.findings if finding.fails).torch_path == "norm"


class Fresh(torch.nn.Sequential):
    """Convolutions with norms that nothing has trained.

    Folding them changes only the last digits.
    """

    def __init__(self) -> None:
        parts = [
            part
            for width in (3, 6, 6)
            for part in (
                torch.nn.Conv2d(width, 6, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(6),
                torch.nn.ReLU(),
            )
        ]
        super().__init__(*parts)


def test_fresh_norms_folded_by_the_exporter_are_no_difference() -> None:
    torch.manual_seed(0)
    module, image = Fresh().eval(), torch.randn(2, 3, 8, 8)
    proto = torch.onnx.export(
        module, (image,), dynamo=True, verbose=False, optimize=True
    ).model_proto
    assert not [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    pair = ({"input": image}, {proto.graph.input[0].name: image.numpy()})
    report = pg.compare(module, proto, pair, options=TOLERANT)
    assert report.passed and set(report.regions) == {"equal"}, str(report)
    relu = next(node for node in proto.graph.node if node.op_type == "Relu")
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            if name == relu.output[0]:
                node.input[place] = relu.input[0]
    proto.graph.node.remove(relu)
    report = pg.compare(module, proto, pair, options=TOLERANT)
    assert (
        not report.passed
        and report.regions["different"] == 1
        and "Relu" in report.findings[0].cause
    ), str(report)
