"""The Spark session, its cluster, and the failures of both."""
