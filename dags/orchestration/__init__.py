"""Building blocks of the DAGs: tasks submit Spark jobs or read the JSON lines of earlier ones."""
