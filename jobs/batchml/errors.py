"""The one family of errors a job may end with, each with its exit code.

An error states what is wrong and where, then what to do about it. Airflow reads the exit code: it
fails the task at once on 3 and 4, retries on 5, and marks the task skipped on 99.
"""

import re
from typing import ClassVar

# What an address may hold besides a place: user and password, or a key among the parameters.
# A password may have @ and / in it. What follows a colon may also be a port.
USER = re.compile(r"(?<=://)(?:[^/\s'\"]+|[^/\s:'\"]*:(?!\d{1,5}[/?])[^\s'\"]*)@")
KEY = re.compile(
    r"(?i)([?&;][\w.-]*(?:password|passwd|pwd|token|secret|credential|signature|"
    r"(?:api|access|account|subscription)[_-]?key|\bsig|\bauth)=)[^&;\s'\"]+"
)


def without_secrets(text: str) -> str:
    """Return ``text`` with every address in it shown without user, password and keys."""
    return KEY.sub(r"\1***", USER.sub("", text))


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

    def __init__(
        self, message: str, *details: str, remedy: str = "", summary: object | None = None
    ) -> None:
        super().__init__(message, *details, remedy=remedy)
        self.summary = summary
        """What the job's last line reports nevertheless."""


class Missing(NothingToDo):
    """The delivery of these dates has not arrived. It is owed until it does."""

    kind = "missing"
