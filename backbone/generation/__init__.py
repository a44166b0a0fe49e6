"""Text generation: options, sampling, beam search, cache."""
