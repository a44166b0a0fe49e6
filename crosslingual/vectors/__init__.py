"""Word vectors: file formats, alignment, dictionaries."""
