"""Small source files and rows for a first run without network."""
