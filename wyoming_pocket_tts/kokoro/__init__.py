"""The embedded voice: an acoustic model of this project, unrelated to Kokoro-82M."""
