"""Pocket TTS as a PyTorch network: the readable reference that the serving engine is proved against."""
