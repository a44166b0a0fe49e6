"""starter_build."""
