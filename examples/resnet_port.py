"""ResNet ported from PyTorch to Paddle, once right and once with two bugs that a port often has.

    padiff-graph align padiff_graph_examples.resnet_port:healthy
    padiff-graph align padiff_graph_examples.resnet_port:buggy

The torch network is written as a functional PyTorch code base would: layers are defined in another
order, under other names and another nesting than Paddle's.
"""

import numpy as np
import paddle
import torch
import torch.nn.functional as F


class Unit(torch.nn.Module):
    """A residual unit; shortcut and second convolution are defined first."""

    def __init__(self, width_in, width, stride):
        super().__init__()
        self.shortcut = None
        if stride != 1 or width_in != width:
            self.shortcut = torch.nn.ModuleDict(
                {
                    "norm": torch.nn.BatchNorm2d(width),
                    "project": torch.nn.Conv2d(width_in, width, 1, stride=stride, bias=False),
                }
            )
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm2d(width), torch.nn.BatchNorm2d(width)])
        self.second = torch.nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first = torch.nn.Conv2d(width_in, width, 3, stride=stride, padding=1, bias=False)

    def forward(self, x):
        y = F.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        if self.shortcut is not None:
            x = self.shortcut["norm"](self.shortcut["project"](x))
        return torch.relu(x + y)


class TorchResNet(torch.nn.Module):
    """ResNet-18, or another number of units in each stage."""

    def __init__(self, classes=10, units=(2, 2, 2, 2), widths=(64, 128, 256, 512)):
        super().__init__()
        self.head = torch.nn.Linear(widths[-1], classes)
        stages, width_in = [], widths[0]
        for stage, (count, width) in enumerate(zip(units, widths, strict=True)):
            for position in range(count):
                stages.append(Unit(width_in, width, stride=2 if stage and not position else 1))
                width_in = width
        self.body = torch.nn.Sequential(*stages)
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False),
            torch.nn.BatchNorm2d(widths[0]),
        )

    def forward(self, pixels):
        x = F.max_pool2d(F.relu(self.stem(pixels)), 3, stride=2, padding=1)
        return self.head(self.body(x).mean(dim=(2, 3)))


class PortedBlock(paddle.nn.Layer):
    """The residual unit as somebody ported it."""

    def __init__(self, width_in, width, stride, epsilon=1e-5, activate=True):
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(width_in, width, 3, stride=stride, padding=1, bias_attr=False)
        self.bn1 = paddle.nn.BatchNorm2D(width, epsilon=epsilon)
        self.conv2 = paddle.nn.Conv2D(width, width, 3, padding=1, bias_attr=False)
        self.bn2 = paddle.nn.BatchNorm2D(width)
        self.relu = paddle.nn.ReLU() if activate else paddle.nn.Identity()
        self.downsample = None
        if stride != 1 or width_in != width:
            self.downsample = paddle.nn.Sequential(
                paddle.nn.Conv2D(width_in, width, 1, stride=stride, bias_attr=False),
                paddle.nn.BatchNorm2D(width),
            )

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return paddle.nn.functional.relu(y + shortcut)


class PortedResNet(paddle.nn.Layer):
    """The port: one BatchNorm has TensorFlow's epsilon, one block lost its inner ReLU."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(3, 64, 7, stride=2, padding=3, bias_attr=False)
        self.bn1 = paddle.nn.BatchNorm2D(64)
        self.layer1 = paddle.nn.Sequential(
            PortedBlock(64, 64, 1), PortedBlock(64, 64, 1, epsilon=1e-3)
        )
        self.layer2 = paddle.nn.Sequential(PortedBlock(64, 128, 2), PortedBlock(128, 128, 1))
        self.layer3 = paddle.nn.Sequential(
            PortedBlock(128, 256, 2, activate=False), PortedBlock(256, 256, 1)
        )
        self.layer4 = paddle.nn.Sequential(PortedBlock(256, 512, 2), PortedBlock(512, 512, 1))
        self.fc = paddle.nn.Linear(512, classes)

    def forward(self, x):
        x = paddle.nn.functional.relu(self.bn1(self.conv1(x)))
        x = paddle.nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean(axis=[2, 3]))


def example(side=64, batch=2):
    """One random image batch for both frameworks; each side calls its input by its own name."""
    images = np.random.default_rng(0).standard_normal((batch, 3, side, side)).astype("float32")
    return {"x": paddle.to_tensor(images)}, {"pixels": torch.from_numpy(images.copy())}


def healthy():
    """paddle.vision's ResNet-18 and the torch network above: the same function."""
    torch.manual_seed(0)  # the same weights every time
    layer, module = paddle.vision.models.resnet18(num_classes=10), TorchResNet()
    layer.eval()
    module.eval()
    return layer, module, example()


def buggy():
    """The port with its two bugs."""
    torch.manual_seed(0)
    layer, module = PortedResNet(), TorchResNet()
    layer.eval()
    module.eval()
    return layer, module, example()
