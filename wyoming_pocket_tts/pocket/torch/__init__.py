"""Pocket TTS in PyTorch, the reference."""
