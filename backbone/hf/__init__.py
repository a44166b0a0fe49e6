"""Models and tokenizers of transformers."""
