"""Words of pictures: what files, sidecars and tables say of them, and what can be drafted."""
