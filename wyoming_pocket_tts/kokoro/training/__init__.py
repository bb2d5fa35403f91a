"""Training of the embedded voice; not part of the wheel."""
