"""Query time: index, fusion, diversity, re-ranking. Knows no articles."""
