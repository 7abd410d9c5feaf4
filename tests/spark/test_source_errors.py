"""Errors of Spark about a source: which of them are about the data."""

import pytest
from pyspark.errors import PySparkException

from batchml.errors import BadConfig, BadData, PipelineError, Unavailable
from batchml.sources.spark_errors import reading

FOOTER = "[CANNOT_READ_FILE_FOOTER] Could not read footer for file: file:/landing/rides.parquet."
FAILED = "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file file:/landing/a.parquet."


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((FOOTER, "Caused by: java.lang.RuntimeException: is not a Parquet file"), BadData),
        ((FOOTER, "Caused by: java.io.FileNotFoundException: (Permission denied)"), Unavailable),
        ((FOOTER, "Caused by: java.net.ConnectException: Connection refused"), Unavailable),
        ((FAILED, "Caused by: java.io.EOFException: Reached the end of stream"), BadData),
        ((FAILED, "Caused by: java.io.IOException: Input/output error"), Unavailable),
        (
            (
                "org.postgresql.util.PSQLException: An I/O error occurred while sending.",
                "Caused by: java.io.EOFException",
            ),
            Unavailable,
        ),
        (("PSQLException: ERROR: division by zero",), BadConfig),
        (("PSQLException: ERROR: canceling statement due to user request",), Unavailable),
    ],
)
def test_only_errors_of_content_blame_the_file(
    lines: tuple[str, ...], expected: type[PipelineError]
):
    with pytest.raises(expected) as raised, reading("rides.parquet"):
        raise PySparkException("\n".join(lines))
    assert str(raised.value).startswith("rides.parquet")
    assert raised.value.remedy
