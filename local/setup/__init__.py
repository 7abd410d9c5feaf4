"""Set up the environment: packages, jars and the class archive. Standard library only."""
