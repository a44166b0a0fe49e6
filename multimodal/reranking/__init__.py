"""Reranking of captions."""
