"""Checkpoint folders and model cards."""
