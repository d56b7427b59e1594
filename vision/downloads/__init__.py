"""Model files: the manifest, where they come from, how they are verified and stored."""
