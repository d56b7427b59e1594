"""Many articles from one file of requests, resumed where an earlier run stopped."""
