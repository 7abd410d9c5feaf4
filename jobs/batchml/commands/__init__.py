"""Commands of make that need no Spark."""
