"""The benchmark of transfer: languages that the starter's English model is moved to, and what it learns there."""
