"""Small paired models for the contract's tests.

A healthy pair of each kind, and knobs that break one side.
"""

import numpy as np
import paddle
import torch
import torch.nn.functional as TF


def rng(seed=0):
    return np.random.default_rng(seed)


def paired(array, first="x", second="x"):
    """The same numbers for both frameworks, under each side's own argument name."""
    return {first: paddle.to_tensor(array)}, {second: torch.from_numpy(np.array(array))}


def batch(*shape, seed=0):
    return paired(rng(seed).standard_normal(shape).astype("float32"))


class Mlp(paddle.nn.Layer):
    """Two residual units of linear, norm, activation.

    Everything that a port gets wrong can be set.
    """

    def __init__(
        self,
        width=16,
        activation=None,
        epsilon=1e-5,
        skip=(),
        residual=True,
        bias=True,
        flip=False,
        detach=False,
        square=False,
    ):
        super().__init__()
        self.fc1 = paddle.nn.Linear(width, 24 if not square else width)
        self.norm = paddle.nn.LayerNorm(24 if not square else width, epsilon=epsilon)
        self.fc2 = paddle.nn.Linear(
            24 if not square else width, width, bias_attr=None if bias else False
        )
        self.out = paddle.nn.Linear(width, 8)
        self.act = activation or paddle.nn.ReLU()
        self.skip, self.residual, self.flip, self.detach = skip, residual, flip, detach

    def forward(self, x):
        y = self.norm(self.fc1(x))
        if "act" not in self.skip:
            y = self.act(y)
        if self.detach:
            y = y.detach()
        y = self.fc2(y)
        if self.residual:
            y = y + x
        y = self.out(y)
        return paddle.flip(y, [0]) if self.flip else y


class TorchMlp(torch.nn.Module):
    """The same, other names, other definition order, functional activation."""

    def __init__(self, width=16, square=False):
        super().__init__()
        inner = width if square else 24
        self.head = torch.nn.Linear(width, 8)
        self.down = torch.nn.Linear(inner, width)
        self.ln = torch.nn.LayerNorm(inner)
        self.up = torch.nn.Linear(width, inner)

    def forward(self, x):
        return self.head(self.down(TF.relu(self.ln(self.up(x)))) + x)


class ConvNet(paddle.nn.Layer):
    """Convolutions with batch norm."""

    def __init__(self, epsilons=(1e-5, 1e-5, 1e-5), momentum=0.9, residual=True):
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(3, 8, 3, padding=1)
        self.bn1 = paddle.nn.BatchNorm2D(8, epsilon=epsilons[0], momentum=momentum)
        self.conv2 = paddle.nn.Conv2D(8, 8, 3, padding=1)
        self.bn2 = paddle.nn.BatchNorm2D(8, epsilon=epsilons[1], momentum=momentum)
        self.conv3 = paddle.nn.Conv2D(8, 8, 3, padding=1)
        self.bn3 = paddle.nn.BatchNorm2D(8, epsilon=epsilons[2], momentum=momentum)
        self.fc = paddle.nn.Linear(8, 5)
        self.residual = residual

    def forward(self, x):
        x = paddle.nn.functional.relu(self.bn1(self.conv1(x)))
        y = paddle.nn.functional.relu(self.bn2(self.conv2(x)))
        y = self.bn3(self.conv3(y))
        y = paddle.nn.functional.relu(y + x if self.residual else y)
        return self.fc(y.mean([2, 3]))


class TorchConvNet(torch.nn.Module):
    """The same in torch."""

    def __init__(self):
        super().__init__()
        self.norms = torch.nn.ModuleList([torch.nn.BatchNorm2d(8) for _ in range(3)])
        self.convs = torch.nn.ModuleList(
            [
                torch.nn.Conv2d(3, 8, 3, padding=1),
                torch.nn.Conv2d(8, 8, 3, padding=1),
                torch.nn.Conv2d(8, 8, 3, padding=1),
            ]
        )
        self.classify = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = TF.relu(self.norms[0](self.convs[0](x)))
        y = TF.relu(self.norms[1](self.convs[1](x)))
        y = self.norms[2](self.convs[2](y))
        return self.classify(TF.relu(x + y).mean((2, 3)))


def images(seed=0):
    return batch(4, 3, 6, 6, seed=seed)


class Crossed(paddle.nn.Layer):
    """Two linears of one shape, called in the order of their names or the other way round."""

    def __init__(self, swapped=False):
        super().__init__()
        self.fc1 = paddle.nn.Linear(6, 6)
        self.fc2 = paddle.nn.Linear(6, 6)
        self.swapped = swapped

    def forward(self, x):
        first, second = (self.fc2, self.fc1) if self.swapped else (self.fc1, self.fc2)
        return second(paddle.nn.functional.relu(first(x)))


class TorchCrossed(torch.nn.Module):
    def __init__(self, defined_swapped=False):
        super().__init__()
        if defined_swapped:
            self.fc2 = torch.nn.Linear(6, 6)
            self.fc1 = torch.nn.Linear(6, 6)
        else:
            self.fc1 = torch.nn.Linear(6, 6)
            self.fc2 = torch.nn.Linear(6, 6)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


def copy_linear(layer, module, transpose=True):
    """A port's own copying of one linear's weights."""
    weight = module.weight.detach().numpy()
    layer.weight.set_value(weight.T if transpose else weight)
    if layer.bias is not None and module.bias is not None:
        layer.bias.set_value(module.bias.detach().numpy())
