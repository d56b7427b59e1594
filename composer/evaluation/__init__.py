"""Measuring the parts of composing on illustrated articles with known answers."""
