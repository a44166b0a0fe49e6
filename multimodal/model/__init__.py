"""Mappers, copying and guidance: from features and users to the frozen language model."""
