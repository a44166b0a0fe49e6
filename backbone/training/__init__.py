"""The training loop and what it needs: resume, optimizers, distribution, logging."""
