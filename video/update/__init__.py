"""Extension of a vocabulary from videos."""
