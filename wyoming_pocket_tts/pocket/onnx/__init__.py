"""Pocket TTS as ONNX graphs, written node by node from the released weights, and the engine that runs them."""
