"""The sample library: fetched from Debian packages and indexed."""

SAMPLE = "sample"  # what ``--library`` calls it
