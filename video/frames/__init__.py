"""Frames of videos at exact times."""
