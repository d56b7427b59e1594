"""A user's own documents: read, cut into passages that know their page, and searched."""
