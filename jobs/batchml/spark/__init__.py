"""The Spark session, its cluster, and what goes wrong with them."""
