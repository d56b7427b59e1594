"""The durable picture library: files, records and vectors at rest."""
