"""Pocket TTS on ONNX Runtime."""
