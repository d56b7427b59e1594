"""What sees and speaks: towers, bridges, language models, weights. Knows no libraries and no articles."""
