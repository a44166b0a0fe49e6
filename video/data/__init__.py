"""Clips and their features."""
