"""A pipeline from a file: what a CSV or parquet file holds, written down as a YAML that is ready to run."""
