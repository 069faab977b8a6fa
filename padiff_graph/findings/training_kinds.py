"""Kinds of causes about weights, training, the frameworks and the tolerance."""

from __future__ import annotations

from padiff_graph.findings.cause import Cause
from padiff_graph.findings.kind import kind_of

__all__ = ["FRAMEWORKS", "TOLERANCE", "TRAINING", "WEIGHTS"]

_BEYOND = {
    "tensor": "the output",
    "error": 3e-5,
    "mode": "mean",
    "scale": 1.2,
    "atol": 1e-6,
    "rtol": 1e-6,
}
_ENOUGH = "rtol=3.1e-05 or atol=3.6e-05 would have been enough"
_TENSORS = {"first_name": "fc.weight", "second_name": "head.weight"}

FRAMEWORKS = (
    kind_of(
        "framework.biased_variance",
        "the frameworks update a running variance with another batch variance",
        factor=1.06667,
    ),
    kind_of(
        "framework.lost_gradient",
        "an infinite gradient that meets a slope of zero is zero in one framework and no number in"
        " the other",
        name="fc.weight",
        count=3,
    ),
    kind_of("framework.kink", "the frameworks choose other gradients at a kink"),
    kind_of(
        "framework.wrong_gradient",
        "a framework's gradient is not that of its own forward",
        side=0,
        analytic=0.5,
        numeric=0.25,
    ),
    kind_of(
        "framework.same_call",
        "the frameworks yield other numbers for one operation called alike",
        first_op="pd_op.bilinear_interp",
        second_op="aten.upsample_bilinear2d.vec",
    ),
    kind_of(
        "framework.known",
        "what is known of it, with its source",
        text="to size one Paddle interpolates with a ratio of zero",
    ),
    kind_of(
        "framework.overflow",
        "a framework's own operation yields a gradient that is not finite",
        side=0,
        count=3,
        size=64,
    ),
    kind_of(
        "framework.carried",
        "it follows from what the frameworks do differently further up",
        path="act",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    kind_of(
        "framework.update_rule",
        "the frameworks compute an optimizer's update differently",
        algorithm="RMSProp",
        rule="Paddle adds epsilon under the square root, torch behind it",
        step=1,
        first_name="fc.weight",
        error=1e-3,
        update=0.1,
    ),
)
"""What the frameworks themselves do differently."""

TOLERANCE = (
    kind_of(
        "rounding.accumulated",
        "rounding, carried along to the end of the run",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    kind_of(
        "rounding.undecided",
        "beyond the tolerance; whether it is rounding is not known",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    kind_of(
        "whole.other_weights",
        "the whole runs do not hold the same weights",
        loose=Cause.of("parameter.unmapped", first_some=("w",), second_some=("v",)),
        **_BEYOND,
    ),
    kind_of(
        "rounding.unproved",
        "beyond the tolerance; whether it is rounding could not be proved",
        text="aten.my_op cannot be rerun",
        enough=_ENOUGH,
        **_BEYOND,
    ),
    kind_of("whole.not_located", "the whole runs differ, and no single place was found", **_BEYOND),
    kind_of(
        "whole.unexplained",
        "both models as a whole differ in float64, and no part of them does by itself",
        tensor="the output",
        error=3e-3,
        scale=1.2,
        noise=1e-7,
        others=4,
    ),
)
"""Values beyond the tolerance."""

WEIGHTS = (
    kind_of(
        "parameter.extra",
        "a parameter of the first model has no counterpart",
        parameters=("fc.bias [10]",),
        text="nothing of its shape is left",
    ),
    kind_of(
        "parameter.missing",
        "a parameter of the second model has no counterpart",
        parameters=("head.bias [10]",),
    ),
    kind_of(
        "parameter.unmapped",
        "both models have weights that no map was found between",
        first_some=("fc.weight",),
        second_some=("head.weight",),
    ),
    kind_of(
        "parameter.no_map",
        "no map between the weights that have none can make both models agree",
        loose=Cause.of("parameter.unmapped", first_some=("w",), second_some=("v",)),
        number=0.25,
        tensor="the output",
        error=3e-3,
        scale=1.2,
    ),
    kind_of(
        "branches.unfit",
        "no weights make one operation what branches of the other model add up to",
        side=0,
        path="blocks.0.reparam",
        op="Conv",
        modules=("blocks.0.conv3", "blocks.0.conv1"),
        text="its strides are [1, 1], and theirs [2, 2]",
    ),
    kind_of(
        "branches.other_weights",
        "one operation holds other weights than branches of the other model add up to",
        side=0,
        path="blocks.0.reparam",
        op="Conv",
        modules=("blocks.0.conv3", "blocks.0.conv1"),
        error=3e-3,
        scale=1.2,
    ),
    kind_of(
        "branches.apart",
        "branches of the first model add up to one operation of the second; nothing says what each "
        "holds",
        side=1,
        path="blocks.0.reparam",
        op="Conv",
        modules=("blocks.0.conv3", "blocks.0.conv1"),
    ),
    kind_of(
        "map.module_unknown",
        "rows of the layer map are about modules that a model does not have",
        side=0,
        paths=("layers.9",),
    ),
    kind_of(
        "map.module_contradicted",
        "a row of the layer map pairs modules that compute nothing in common",
        first_path="layers.0",
        second_path="layers.1",
    ),
    kind_of(
        "map.parameter_contradicted",
        "a row of the layer map names another parameter than the computation reads",
        first_name="fc.weight",
        said=("head.weight",),
        read=("body.weight",),
    ),
    kind_of(
        "map.parameter_unfit",
        "rows of the layer map are about parameters that are not there, or have another shape",
        parameters=("fc.weight",),
    ),
    kind_of(
        "map.module_given",
        "modules that the user paired yield values that are read in different places",
        first_path="layers.0",
        second_path="layers.1",
        side=0,
        path="layers.0",
        read=("layers.2",),
    ),
    kind_of(
        "map.parameter_given",
        "a row of the user names another parameter than the computation reads",
        first_name="fc.weight",
        said=("head.weight",),
        read=("body.weight",),
    ),
    kind_of(
        "map.transform_contradicted",
        "a row of the layer map lays a parameter out otherwise than the computation reads it",
        first_name="fc.weight",
        second_name="head.weight",
        said="identity",
        read="transpose",
    ),
    kind_of(
        "map.transform_given",
        "a row of the user lays a parameter out otherwise than the computation reads it",
        first_name="fc.weight",
        second_name="head.weight",
        said="identity",
        read="transpose",
    ),
    kind_of(
        "map.use_contradicted",
        "the layer map says that nothing reads a parameter that is read",
        parameters=("fc.weight",),
        side=0,
    ),
    kind_of(
        "map.other_models",
        "no row of the layer map fits the two models",
        first_said="ResNet",
        second_said="TorchResNet",
    ),
    kind_of(
        "parameter.crossed",
        "a parameter's counterpart goes by the name of another one",
        first_owner="fc1",
        second_owner="fc2",
        parameters=("fc1.weight",),
    ),
    kind_of(
        "parameter.exchanged",
        "two modules go by each other's names",
        first_owner="fc1",
        second_owner="fc2",
        parameters=("fc1.weight",),
    ),
    kind_of(
        "parameter.called_crosswise",
        "two like layers of a difference take each other's weights by the order of their calls",
        path="head",
        first_owner="fc1",
        second_owner="second",
        first_other="fc2",
        second_other="first",
    ),
    kind_of(
        "parameter.sum_beside_unread",
        "one model holds the sum of what the other adds, and never reads a parameter of that shape",
        side=0,
        name="fc1.weight",
        others=("a.weight", "b.weight"),
        parameter="fc2.weight",
    ),
    kind_of(
        "weights.shuffled",
        "a weight's elements stand in an order that no transpose gives",
        parameters=("qkv.weight",),
    ),
    kind_of(
        "weights.as_they_are",
        "a weight was copied as it is, and the map asks for something else",
        transform="transpose",
        **_TENSORS,
    ),
    kind_of(
        "weights.transposed",
        "a weight was transposed the wrong way",
        transform="identity",
        **_TENSORS,
    ),
    kind_of(
        "weights.swapped",
        "two modules hold each other's weights",
        parameter="fc2.weight",
        first_name="fc1.weight",
        first_owner="fc1",
        second_owner="fc2",
    ),
    kind_of("weights.initial", "a weight was never copied", number=1.0, **_TENSORS),
    kind_of("weights.permuted", "a weight's elements stand in another order", **_TENSORS),
    kind_of(
        "weights.read_in_another_order",
        "the weights agree, and the models compute with their elements in another order",
        transform="flipped along axis 0",
        **_TENSORS,
    ),
    kind_of("weights.differ", "the models hold other weights", **_TENSORS),
    kind_of(
        "weights.hash_differs",
        "the recording holds a weight's hash, and the other model's numbers have another",
        **_TENSORS,
    ),
    kind_of(
        "weights.shift_forgotten",
        "the models hold other weights, and what reads their result forgets the difference",
        op="LogSoftmax",
        **_TENSORS,
    ),
)
"""Weights as they stand."""

TRAINING = (
    kind_of(
        "loss.differs",
        "the loss functions return other values for the same output",
        losses="loss and criterion",
        first_number=0.25,
        second_number=0.5,
        share=0.5,
    ),
    kind_of(
        "loss.gradient_differs",
        "the loss functions have other gradients for the same output",
        losses="loss and criterion",
        towards="output",
        error=1e-3,
    ),
    kind_of(
        "loss.label_smoothing",
        "the losses smooth their labels otherwise",
        first_setting=0.1,
        second_setting=0.0,
    ),
    kind_of(
        "loss.counted_rows",
        "one loss leaves rows out that the other counts",
        total=28,
        first_setting=28,
        second_setting=22,
        label=0,
    ),
    kind_of(
        "loss.reduction",
        "the losses sum or average their rows otherwise",
        first_setting="sum",
        second_setting="mean of the rows that count",
    ),
    kind_of(
        "loss.positive_weight",
        "the losses weigh elements of answer 1 otherwise",
        first_setting=1.0,
        second_setting=3.0,
    ),
    kind_of(
        "loss.shifted_labels",
        "one loss holds its rows against labels of other rows",
        places=1,
    ),
    kind_of(
        "loss.labels",
        "the losses hold rows against other labels",
        count=3,
        total=28,
        row=4,
        first_setting=2,
        second_setting=0,
    ),
    kind_of(
        "loss.setting",
        "a setting of a loss's whole operation has two values",
        setting="ignore_index",
        first_setting=0,
        second_setting=-100,
        first_op="pd_op.cross_entropy_with_softmax",
        second_op="aten.cross_entropy_loss.default",
    ),
    kind_of(
        "optimizer.master_weights",
        "updates below half a unit in the last place of half precision are lost in one model, and "
        "add up in float32 in the other",
        step=1,
        first_setting="bfloat16",
        second_setting="float32",
        first_share=0.86,
        second_share=0.31,
        steps=8,
    ),
    kind_of(
        "optimizer.owner",
        "the optimizers do not train the same parameters",
        some=("fc.bias",),
        first_setting="trained",
        second_setting="left alone",
    ),
    kind_of(
        "optimizer.schedule",
        "the learning rate schedules differ from a later step on",
        step=3,
        first_setting=0.05,
        second_setting=0.1,
    ),
    kind_of(
        "optimizer.update",
        "the update rules differ though all settings agree",
        step=1,
        first_name="fc.weight",
        error=1e-3,
        update=0.1,
    ),
    kind_of(
        "optimizer.steps",
        "the steps differ where gradients agree, and callables hide how",
        step=1,
        some=("fc.weight",),
        share=0.1,
    ),
    kind_of(
        "training.rounding",
        "rounding, carried along by training",
        step=2,
        first_name="fc.weight",
        error=1e-5,
        band=3e-5,
    ),
    kind_of(
        "training.departs",
        "training departs further than rounding carries, in a stage that no setting explains",
        step=2,
        stage="gradients",
        first_name="fc.weight",
        error=1e-3,
        band=3e-5,
    ),
    kind_of(
        "training.passes",
        "the users' own steps take another number of backward passes",
        first_setting=2,
        second_setting=4,
    ),
    kind_of(
        "training.mode",
        "the users' own steps run the models in other modes",
        first_setting="evaluation",
        second_setting="training",
    ),
    kind_of(
        "training.undecided",
        "training departs; whether it is rounding is not known",
        step=2,
        first_name="fc.weight",
        error=1e-5,
    ),
)
"""Losses, optimizers, steps."""
