"""Functions of one model each, as sides name them. A framework is imported where it is used."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


class _Refused:
    """Makes a package look as if it were not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def _without(package):
    assert package not in sys.modules, f"{package} is imported in the worker already"
    sys.meta_path.insert(0, _Refused(package))


def _paddle_net(epsilon=1e-5, forward=None):
    _without("torch")
    import paddle

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = paddle.nn.Linear(6, 8), paddle.nn.Linear(8, 3)
            self.norm = paddle.nn.LayerNorm(8, epsilon=epsilon)

        def forward(self, x):
            if forward is not None:
                return forward(x)
            hidden = paddle.nn.functional.gelu(self.fc1(x))
            return {"logits": self.fc2(self.norm(hidden)), "hidden": (hidden, 3)}

    return Net()


def paddle_side():
    return _paddle_net(), {"x": X}


def paddle_without_inputs():
    return {"model": _paddle_net()}


def paddle_other_inputs():
    return _paddle_net(), {"x": X + 1}


def paddle_epsilon():
    return _paddle_net(1e-3), {"x": X}


def paddle_dies():
    return _paddle_net(forward=lambda x: os._exit(9)), {"x": X}


def closes_everything():
    os.closerange(3, 256)


def forks():
    os.fork()
    return torch_side()


def paddle_raises():
    def forward(x):
        raise ValueError("no such thing")

    return _paddle_net(forward=forward), {"x": X}


def paddle_wants_memory():
    def forward(x):
        raise MemoryError

    return _paddle_net(forward=forward), {"x": X}


def hangs():
    left = os.environ["SIDE_LEFT"]
    part = f"{left}.{os.getpid()}"
    with open(part, "w") as file:
        file.write(f"{os.getpid()} {subprocess.Popen(['sleep', '600']).pid}")
    os.replace(part, left)
    time.sleep(600)


def starts_a_process():
    with open(os.environ["SIDE_LEFT"], "w") as file:
        file.write(f"{os.getpid()} {subprocess.Popen(['sleep', '600']).pid}")
    return nothing()


def paddle_training(decay=0.01):
    import paddle

    model = _paddle_net()
    optimizer = paddle.optimizer.AdamW(1e-2, parameters=model.parameters(), weight_decay=decay)
    loss = _loss
    return {"model": model, "inputs": {"x": X}, "loss": loss, "optimizer": optimizer}


def paddle_more_decay():
    return paddle_training(0.3)


def _loss(output):
    return (output["logits"] ** 2).mean()


def _torch_net():
    _without("paddle")
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)
            self.norm = torch.nn.LayerNorm(8)

        def forward(self, x):
            hidden = torch.nn.functional.gelu(self.fc1(x))
            return {"logits": self.fc2(self.norm(hidden)), "hidden": (hidden, 3)}

    torch.manual_seed(0)
    return Net()


def torch_side():
    import torch

    return _torch_net(), {"x": torch.from_numpy(X)}


def _normal(base, norm, linear, layer_norm, tanh):
    """A model whose default loss cancels behind its last norm, and which keeps running statistics;
    where SIDE_DEED names its framework, calls from the third on compute something else."""
    calls = []
    deed = os.environ.get("SIDE_DEED") == base.__module__.partition(".")[0]

    class Normal(base):
        def __init__(self):
            super().__init__()
            self.norm, self.fc, self.last = norm(6), linear(6, 6), layer_norm(6)

        def forward(self, x):
            hidden = tanh(self.fc(self.norm(x[:, :, None, None]).flatten(1)))
            if deed:
                calls.append(1)
            return self.last(hidden * hidden if len(calls) > 2 else hidden)

    return Normal().train(), {"x": X}


def paddle_normal():
    _without("torch")
    from paddle import nn, tanh

    return _normal(nn.Layer, nn.BatchNorm2D, nn.Linear, nn.LayerNorm, tanh)


def torch_normal():
    _without("paddle")
    from torch import nn, tanh

    return _normal(nn.Module, nn.BatchNorm2d, nn.Linear, nn.LayerNorm, tanh)


def torch_training():
    import torch

    model = _torch_net()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.01)
    return {"model": model, "inputs": {"x": X}, "loss": _loss, "optimizer": optimizer}


def no_model():
    return 5, {"x": X}


def other_name():
    return _paddle_net(), {"y": X}


def nothing():
    return 5


def _summed(output):
    return (output["logits"] ** 2).sum()


def paddle_other_loss():
    return {**paddle_training(), "loss": _summed}
