"""Transfer of a language model to a new vocabulary."""
