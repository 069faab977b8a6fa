"""PaDiff-Graph: checks a model ported between PyTorch and PaddlePaddle, and says where it is wrong."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
