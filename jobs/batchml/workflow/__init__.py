"""Parts of the daily work that several steps share."""
