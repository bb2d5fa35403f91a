"""The embedded voice: a small acoustic model and vocoder that ship in the package. Unrelated to Kokoro-82M."""
