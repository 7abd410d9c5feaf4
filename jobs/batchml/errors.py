"""The one family of errors a job may end with, each with its exit code.

An error states what is wrong and where, then what to do about it. Airflow reads the exit code: it
fails the task at once on 3 and 4, retries on 5, and marks the task skipped on 99.
"""

from typing import ClassVar


class PipelineError(Exception):
    """Base of the family: a message, details that list every discrepancy, and a remedy."""

    kind: ClassVar[str] = "unexpected"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *details: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.message, *(f"  {detail}" for detail in self.details)]
        if self.remedy:
            lines.append(f"  {self.remedy}")
        return "\n".join(lines)


class BadData(PipelineError):
    """The data cannot be used as it is; running again cannot help."""

    kind = "bad_data"
    exit_code = 3


class BadConfig(PipelineError):
    """The configuration or the arguments are wrong."""

    kind = "bad_config"
    exit_code = 4


class Unavailable(PipelineError):
    """Something outside the job failed (MLflow, the source, the lake); running again may help."""

    kind = "unavailable"
    exit_code = 5


class NothingToDo(PipelineError):
    """There is no work for these dates, and that is no failure."""

    kind = "nothing_to_do"
    exit_code = 99
