"""The parts of `polygraft train language`."""
