"""From a request to an illustrated article: plan, write, place, caption, find, rerank, choose, settle."""
