"""How ``compare`` measures a model in several precisions and engines, and shows what it found."""
