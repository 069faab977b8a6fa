"""ONNX: models as they are, forward only."""
