"""Refer to columns whatever characters are in their names."""

from pyspark.sql import Column
from pyspark.sql import functions as F


def column(name: str) -> Column:
    """Return the column ``name``, whatever characters are in it."""
    return F.col(quoted(name))


def quoted(name: str) -> str:
    """Return the name of a column as SQL has it, whatever characters are in it."""
    doubled = name.replace("`", "``")
    return f"`{doubled}`"
