"""Pocket TTS: models, weights, voices and generation."""
