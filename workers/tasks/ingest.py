"""Taking fills in, in the queue `ingest`."""
