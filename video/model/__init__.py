"""The trained part of a narrator."""
