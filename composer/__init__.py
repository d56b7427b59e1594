"""Vignette's articles: writing, placement, assignment, editing, rendering, and the command line."""
