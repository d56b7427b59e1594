"""Articles: writing, placement, assignment, editing, rendering, and the command line."""
