"""Kyutai's Pocket TTS: what the models are, their weights, and the one loop that speaks with them.

Knows nothing about servers, satellites or asyncio.
"""
