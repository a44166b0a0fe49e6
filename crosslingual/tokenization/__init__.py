"""Tokenizers: training, fertility, and vocabularies in one spelling."""
