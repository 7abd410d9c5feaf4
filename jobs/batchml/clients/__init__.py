"""Clients of what is outside the pipeline: processes, HTTP servers, storage and git."""
