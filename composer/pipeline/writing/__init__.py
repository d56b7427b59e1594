"""Writing: the outline, the facts at hand, drafts and the choice among them, with or without sources."""
