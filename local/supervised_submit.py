"""Run spark-submit under supervision, so that every job ends with its JSON line and an honest exit code.

Runs on a bare Python with the standard library only: it is part of every start of a job.
"""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Run as a file, by a Python that does not have this project on its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "jobs"))

from batchml.clients.parent_death import die_with_parent

JOBS = Path(__file__).resolve().parents[1] / "jobs"
BAD_CONFIG, UNAVAILABLE = 4, 5  # as in batchml.errors
SUBMITTED_BY = "BATCHML_SUBMITTED_BY"  # process id of an Airflow task that must not be outlived
PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
DEFAULT_MEMORY = "1g"  # Spark's own
SECONDS_TO_DRAIN = 10  # after the end of the process, for what is still in its pipe
OUT_OF_MEMORY = b"java.lang.OutOfMemoryError"
APPLICATION = re.compile(rb"Spark application ((?:app|local)-\d+(?:-\d+)?)")
HELP = {"-h", "--help"}


@dataclass(frozen=True)
class Job:
    """A job of this project, as its command line names it."""

    name: str
    arguments: Sequence[str]

    def argument(self, flag: str) -> str | None:
        """Return the value of ``--flag value`` or ``--flag=value``, or None."""
        for position, word in enumerate(self.arguments):
            name, equals, value = word.partition("=")
            if name != flag:
                continue
            if equals:
                return value
            if position + 1 < len(self.arguments):
                return self.arguments[position + 1]
        return None


@dataclass
class Output:
    """What has passed through the standard output of spark-submit so far."""

    is_empty: bool = True
    has_job_line: bool = False
    out_of_memory: bool = False
    application: str | None = None
    rest: bytes = field(default=b"", repr=False)

    def read(self, chunk: bytes, job: str) -> None:
        """Take note of what ``chunk`` says about ``job``."""
        self.is_empty = False
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            self._read_line(line, job)

    def close(self, job: str) -> None:
        """Take note of a last line without a line break."""
        self._read_line(self.rest, job)

    def _read_line(self, line: bytes, job: str) -> None:
        if line.startswith(b'{"job"'):
            self.has_job_line = self.has_job_line or is_line_of(line, job)
        elif OUT_OF_MEMORY in line:
            self.out_of_memory = True
        elif started := APPLICATION.search(line):
            self.application = started[1].decode()


@dataclass(frozen=True)
class Cause:
    """Why a process ended without a JSON line, what to do about it, and the job's exit code."""

    message: str
    remedy: str
    exit_code: int = UNAVAILABLE

    @property
    def kind(self) -> str:
        """Return the error's kind in the JSON line."""
        if self.exit_code == BAD_CONFIG:
            return "bad_config"
        return "unavailable"


def main(command: Sequence[str]) -> int:
    """Run ``command``, a spark-submit with its arguments, to its end; return the exit code."""
    if parent := os.environ.get(SUBMITTED_BY):
        die_with_parent(int(parent))

    job = job_of(command)
    if job is None or HELP & set(job.arguments):
        os.execv(command[0], list(command))

    started = time.monotonic()
    kills_before = out_of_memory_kills()
    output = Output()
    code = run(command, job, output)
    if output.has_job_line or code == 0:
        return code

    cause = explain(code, command, output, kills=out_of_memory_kills() - kills_before)
    line = job_line(job, cause, output, seconds=time.monotonic() - started)
    print(f"{cause.message}\n  {cause.remedy}", file=sys.stderr, flush=True)
    print(json.dumps(line), flush=True)
    return cause.exit_code


def job_of(command: Sequence[str]) -> Job | None:
    """Return the job of this project that ``command`` submits, or None for anything else."""
    for position, word in enumerate(command[1:], start=1):
        path = Path(word)
        if path.suffix == ".py" and path.resolve().parent == JOBS:
            return Job(path.stem, command[position + 1 :])
    return None


def is_line_of(line: bytes, job: str) -> bool:
    """Return True if ``line`` is the whole JSON line of ``job``."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return False
    return isinstance(parsed, dict) and parsed.get("job") == job and "status" in parsed


def run(command: Sequence[str], job: Job, output: Output) -> int:
    """Run ``command``, pass its standard output on, and return its exit code; 128 + n for signal n."""
    supervisor = os.getpid()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: die_with_parent(supervisor),  # noqa: PLW1509, there is one thread yet
    )
    # Ctrl-C reaches the whole process group: the job ends by itself, and this process reports it.
    signal.signal(signal.SIGINT, lambda *_: None)
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: process.send_signal(received))

    reader = threading.Thread(target=pass_on, args=(process, job, output), daemon=True)
    reader.start()
    code = process.wait()
    reader.join(SECONDS_TO_DRAIN)
    if code < 0:
        return 128 - code
    return code


def pass_on(process: "subprocess.Popen[bytes]", job: Job, output: Output) -> None:
    """Copy the standard output of ``process`` to this one's, as it comes."""
    assert process.stdout is not None
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        output.read(chunk, job.name)
    output.close(job.name)


def out_of_memory_kills() -> int:
    """Return how often the kernel has killed a process of this control group for its memory."""
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()
        group = next(line.partition("::")[2] for line in own if line.startswith("0::"))
        events = Path(f"/sys/fs/cgroup{group}", "memory.events").read_text().split()
        return int(events[events.index("oom_kill") + 1])
    except (OSError, StopIteration, ValueError):
        return 0


def explain(code: int, command: Sequence[str], output: Output, kills: int) -> Cause:
    """Return why a job with exit code ``code`` ended without its JSON line.

    ``kills``: how many processes the kernel has killed meanwhile because memory ran out.
    """
    memory = setting(command, "spark.driver.memory", "--driver-memory") or DEFAULT_MEMORY
    # 3 with -XX:+ExitOnOutOfMemoryError, 52 from Spark's own handler.
    if code in (3, 52) or output.out_of_memory:
        return Cause(
            f"the driver's JVM ran out of memory (exit code {code}, spark.driver.memory is {memory})",
            "raise spark.driver.memory, for example --driver-memory 4g, or run fewer dates at once",
        )
    if code - 128 in signal.valid_signals():
        return explain_signal(signal.Signals(code - 128), memory, kills)
    if code == 1 and output.is_empty:
        return Cause(
            "spark-submit refused the command or its settings",
            "correct what the message above names; `spark-submit --help` lists the options",
            BAD_CONFIG,
        )
    return Cause(
        f"spark-submit ended with exit code {code} before the job could report",
        "read the message above, correct the command or the settings it names, and rerun",
    )


def explain_signal(number: signal.Signals, memory: str, kills: int) -> Cause:
    """Return why a job was ended by signal ``number``."""
    if number is signal.SIGKILL and kills > 0:
        return Cause(
            "the kernel killed the job: the memory of this machine or container ran out "
            f"(spark.driver.memory is {memory})",
            "raise the memory limit of the container (DRIVERS_MEMORY in .env), run fewer jobs at "
            "once, or lower spark.driver.memory",
        )
    if number is signal.SIGKILL:
        return Cause(
            "the job was killed (SIGKILL)",
            "rerun it; if no one killed it, the machine ran out of memory: check the kernel's log, "
            "and lower spark.driver.memory or run fewer jobs at once",
        )
    if number is signal.SIGABRT:
        return Cause(
            "the driver's JVM aborted (SIGABRT)",
            "read the JVM's message above; if it names memory, free memory on this machine or "
            "lower spark.driver.memory, then rerun",
        )
    return Cause(f"the job was ended by {number.name}", "rerun it")


def setting(command: Sequence[str], key: str, flag: str) -> str | None:
    """Return the value that ``command`` sets for ``key``, or the one of its properties file."""
    found = None
    for word, value in itertools.pairwise(command):
        if word == "--properties-file" and found is None:
            found = settings_of(Path(value)).get(key)
        elif word == flag:
            found = value
        elif word == "--conf" and value.startswith(f"{key}="):
            found = value.partition("=")[2]
    return found


def settings_of(path: Path) -> Mapping[str, str]:
    """Return the settings of a Spark properties file."""
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2 and not pair[0].startswith("#")}


def job_line(job: Job, cause: Cause, output: Output, seconds: float) -> dict[str, Any]:
    """Return the JSON line that the job could not print itself."""
    end = job.argument("--end")
    line: dict[str, Any] = {
        "job": job.name,
        "pipeline": job.argument("--pipeline"),
        "start": job.argument("--start") or end,
        "end": end,
    }
    if output.application:
        line["spark_application_id"] = output.application
    line["seconds"] = {"total": round(seconds, 2)}
    line["status"] = "failed"
    line["error"] = {"kind": cause.kind, "message": cause.message, "remedy": cause.remedy}
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
