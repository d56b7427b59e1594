"""Vignette's picture library, which lasts: files, records and vectors at rest."""
