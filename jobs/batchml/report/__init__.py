"""The daily report, the page and the status table, all without Spark."""
