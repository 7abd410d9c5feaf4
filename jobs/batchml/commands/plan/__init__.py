"""What an edit of a pipeline's YAML changes, before anything runs."""
