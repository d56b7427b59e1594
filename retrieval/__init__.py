"""Query time: index, fusion, diversity, re-ranking."""
