"""ONNX Runtime sessions and ONNX graph building, for any model."""
