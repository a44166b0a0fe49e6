"""The steps that make the starter models, each restartable."""
