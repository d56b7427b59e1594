"""Indexing on several machines: where pictures are, the shards they become, and the work on Ray."""
