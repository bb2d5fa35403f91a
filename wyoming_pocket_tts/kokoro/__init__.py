"""The embedded voice: a small transformer acoustic model and vocoder that ship inside the package (no relation to Kokoro-82M)."""
