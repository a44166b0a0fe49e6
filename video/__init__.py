"""A film becomes narrations, retrieved from a vocabulary."""
