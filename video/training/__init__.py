"""Training of narrators."""
