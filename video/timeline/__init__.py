"""From query vectors of moments to narrated spans."""
