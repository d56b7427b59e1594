"""The durable picture library: files, records and vectors at rest. Knows no queries and no articles."""
