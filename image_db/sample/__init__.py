"""The sample library: fetched from Debian packages and indexed."""
