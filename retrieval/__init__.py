"""Vignette's search at query time: index, fusion, diversity, re-ranking."""
