"""language_model."""
