"""Measurements of speed and memory behind vignette bench."""
