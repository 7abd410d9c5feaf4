"""Write the YAML of a pipeline for a CSV or parquet file."""
