"""Text from a user's own sources, of which every sentence is cited."""
