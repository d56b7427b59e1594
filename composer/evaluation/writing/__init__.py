"""Measuring what the writer writes: articles for titles, measures a machine can take, sheets for people to read."""
