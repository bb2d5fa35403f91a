"""What becomes of speech between the model and the client: tempo, sample rate, volume, silence. Knows no model."""
