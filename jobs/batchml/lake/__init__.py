"""Delta Lake: the tables of a pipeline, their maintenance, and their row counts."""
