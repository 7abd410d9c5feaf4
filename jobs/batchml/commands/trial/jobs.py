"""Run the jobs of a trial as processes that can write to its sandbox only."""

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchml.commands.trial.sandbox import Sandbox
from batchml.config import Pipeline, Places
from batchml.config.load import VARIABLES
from batchml.errors import BadConfig, BadData, NothingToDo, PipelineError, Unavailable
from batchml.job_line import JobError, JobLine

RunJob = Callable[[str, dt.date, dt.date], JobLine]
"""Runs a job for the dates from the first to the last one, and returns its last line."""
ENTRY_POINTS = Path(__file__).resolve().parents[3]
SUBMITTED_BY = "BATCHML_SUBMITTED_BY"  # the supervised spark-submit ends with this process
REGISTRY = "MLFLOW_REGISTRY_URI"
SECONDS_TO_END = 20
LINES_OF_LOG = 20
EXIT_CODES = {each.kind: each.exit_code for each in (BadData, BadConfig, Unavailable, NothingToDo)}


def exit_code_of(line: JobLine) -> int:
    """Return the exit code of the job that printed ``line``."""
    if line.is_done:
        return 0
    if line.status == "nothing_to_do":
        return NothingToDo.exit_code
    kind = ""
    if line.error is not None:
        kind = line.error.kind
    return EXIT_CODES.get(kind, PipelineError.exit_code)


@dataclass(frozen=True)
class SubmittedJobs:
    """The jobs of a pipeline by ``spark-submit``, with ``settings`` in place of the YAML's."""

    pipeline: Pipeline
    sandbox: Sandbox
    settings: Sequence[str]

    def __call__(self, job: str, first: dt.date, last: dt.date) -> JobLine:
        """Run ``job`` to its end, and return its last line. Its log is in the sandbox."""
        command = ["spark-submit", str(ENTRY_POINTS / f"{job}.py")]
        command += ["--pipeline", self.pipeline.name, "--start", str(first), "--end", str(last)]
        for setting in self.settings:
            command += ["--set", setting]
        log = self.sandbox.logs / f"{job}.log"
        try:
            output = _run(command, job_environment(self.sandbox.places), log)
        except OSError as error:
            raise BadConfig(
                f"spark-submit cannot be started: {error}",
                remedy="run make setup, or put spark-submit on the PATH",
            ) from error

        last_line = output.strip().rpartition("\n")[2]
        line = JobLine.parse(last_line)
        if line is not None:
            return line
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LINES_OF_LOG:])
        reason = JobError(kind="unexpected", message=f"{job} ended without its JSON line\n{tail}")
        return JobLine(job=job, status="failed", error=reason)


def job_environment(places: Places) -> dict[str, str]:
    """Return the variables of a job that writes to ``places``."""
    # The environment's spark-submit is preferred, also without an activated environment.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    variables = dict(os.environ)
    variables |= {"PATH": path, SUBMITTED_BY: str(os.getpid()), REGISTRY: places.tracking_uri}
    for key, variable in VARIABLES.items():
        variables[variable] = getattr(places, key)
    return variables


def _run(command: Sequence[str], environment: dict[str, str], log: Path) -> str:
    """Return what ``command`` prints. If this process is interrupted, end all its processes."""
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C ends the job through this process
        ) as process,
    ):
        try:
            return process.communicate()[0]
        except BaseException:
            _end(process)
            raise


def _end(process: "subprocess.Popen[str]") -> None:
    """End ``process``, and then the processes of its group, which may outlive it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(SECONDS_TO_END)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
