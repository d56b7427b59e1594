"""Searching libraries that a database holds, and loading them."""
