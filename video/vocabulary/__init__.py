"""The narration vocabulary."""
