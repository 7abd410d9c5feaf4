"""Define the errors that a job may end with, each with its exit code.

An error states the cause and the place, then a remedy. Airflow reads the exit code: it
fails the task at once on 3 and 4, retries on 5, and marks the task skipped on 99.
"""

import re
from typing import ClassVar

# Secrets in an address: user and password, or a key among the parameters.
# A password may contain @ and /. The text after a colon may also be a port.
USER = re.compile(r"(?<=://)(?:[^/\s'\"]+|[^/\s:'\"]*:(?!\d{1,5}[/?])[^\s'\"]*)@")
KEY = re.compile(
    r"(?i)([?&;][\w.-]*(?:password|passwd|pwd|token|secret|credential|signature|"
    r"(?:api|access|account|subscription)[_-]?key|\bsig|\bauth)=)[^&;\s'\"]+"
)


def without_secrets(text: str) -> str:
    """Return ``text`` with every address in it shown without user, password and keys."""
    return KEY.sub(r"\1***", USER.sub("", text))


def first_line(error: object) -> str:
    """Return the first line of an error's text: what follows is often a stack trace."""
    return str(error).strip().partition("\n")[0]


class PipelineError(Exception):
    """Base of the family: a message, details that list every discrepancy, and a remedy."""

    kind: ClassVar[str] = "unexpected"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *details: str, remedy: str = "") -> None:
        super().__init__(without_secrets(message))
        self.message = without_secrets(message)
        self.details = tuple(without_secrets(detail) for detail in details)
        self.remedy = without_secrets(remedy)

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  {detail}" for detail in self.details]
        if self.remedy:
            lines.append(f"  {self.remedy}")
        return "\n".join(lines)


class BadData(PipelineError):
    """The data cannot be used. Running again cannot help."""

    kind = "bad_data"
    exit_code = 3


class BadConfig(PipelineError):
    """The configuration or the arguments are wrong."""

    kind = "bad_config"
    exit_code = 4


class Unavailable(PipelineError):
    """Something outside the job failed (MLflow, the source, the lake). Running again may help."""

    kind = "unavailable"
    exit_code = 5


class NothingToDo(PipelineError):
    """Nothing to do for these dates. This is not a failure."""

    kind = "nothing_to_do"
    exit_code = 99

    def __init__(
        self, message: str, *details: str, remedy: str = "", summary: object | None = None
    ) -> None:
        super().__init__(message, *details, remedy=remedy)
        self.summary = summary
        """The summary that the job's JSON line reports nevertheless."""


class Missing(NothingToDo):
    """The delivery of these dates has not arrived. It is owed until it does."""

    kind = "missing"


class Unchanged(NothingToDo):
    """Input, definition and model version of these dates are the same as when they were made."""

    kind = "unchanged"

    @classmethod
    def of(cls, job: str, pipeline: str, dates: str, summary: object | None = None) -> "Unchanged":
        """Return the error of ``job``, which has left ``dates`` as they are."""
        return cls(
            f"{pipeline}: nothing has changed since {job} worked on {dates}",
            remedy="run it without --if-changed to replace the rows all the same",
            summary=summary,
        )
