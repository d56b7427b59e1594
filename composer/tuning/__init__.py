"""A user's own illustrated articles as what a language model is tuned on: read, and turned into questions."""
