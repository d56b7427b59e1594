"""Libraries that a database holds, and where each kind of library is."""
