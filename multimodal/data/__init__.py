"""Posts and data sets: reading, normalization, splits."""
