"""Run spark-submit so that every job ends with its JSON line and a correct exit code.

Runs on a bare Python with the standard library only: it is part of every start of a job.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Run as a file, by a Python that does not have this project on its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jobs"))

from batchml.clients.parent_death import die_with_parent

# The exit codes of batchml.errors, by the kind in the JSON line.
EXIT_CODES = {"unexpected": 1, "bad_data": 3, "bad_config": 4, "unavailable": 5}
NOTHING_TO_DO = 99
SUBMITTED_BY = "BATCHML_SUBMITTED_BY"  # id of the Airflow task with which this process ends
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
DEFAULT_MEMORY = "1g"  # Spark's own
SECONDS_TO_DRAIN = 10  # without a byte, after the end of the process
LONGEST_LINE = 1 << 24
LINE_START = b'{"job"'
OUT_OF_MEMORY = b"Terminating due to java.lang.OutOfMemoryError"
APPLICATION = re.compile(rb"Spark application ((?:app|local)-\d+(?:-\d+)?)")
HELP = {"-h", "--help"}
# The options of spark-submit that take no value, and those that are short for a setting.
FLAGS = {"--help", "-h", "--verbose", "-v", "--version", "--supervise", "--load-spark-defaults"}
SETTINGS = {
    "--master": "spark.master",
    "--driver-memory": "spark.driver.memory",
    "--executor-memory": "spark.executor.memory",
}


@dataclass(frozen=True)
class Submission:
    """The arguments of spark-submit: settings, the application and the application's arguments."""

    settings: Mapping[str, str]
    application: str | None
    arguments: Sequence[str]

    @property
    def job(self) -> str | None:
        """Return the name of the submitted job of this project, or None for anything else."""
        path = Path((self.application or "").removeprefix("file://").removeprefix("file:"))
        if path.suffix == ".py" and (path.resolve().parent / "batchml" / "main.py").is_file():
            return path.stem
        return None

    def argument(self, flag: str) -> str | None:
        """Return the value of ``--flag value`` or ``--flag=value`` of the application, or None."""
        words = iter(self.arguments)
        for word in words:
            name, equals, value = word.partition("=")
            if name == flag and equals:
                return value
            if name == flag:
                return next(words, None)
        return None


def parse(words: Sequence[str]) -> Submission:
    """Return the submission behind the arguments ``words``, read as spark-submit reads them."""
    options: dict[str, str] = {}
    properties: Mapping[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest.pop(0).partition("=")
        if name in FLAGS:
            continue
        if not equals and rest:
            value = rest.pop(0)
        if name in ("--conf", "-c"):
            key, _, text = value.partition("=")
            options[key] = text
        elif name == "--properties-file":
            properties = read_properties(Path(value))
        elif name in SETTINGS:
            options[SETTINGS[name]] = value
    settings = dict(properties) | options
    if not rest:
        return Submission(settings, None, [])
    return Submission(settings, rest[0], rest[1:])


def read_properties(path: Path) -> Mapping[str, str]:
    """Return the settings of a properties file, or none if it cannot be read."""
    properties: dict[str, str] = {}
    text = ""
    with suppress(OSError, UnicodeDecodeError):
        text = path.read_text(encoding="utf-8")

    for row in text.splitlines():
        line = row.strip()
        if line.startswith(("#", "!")):
            continue
        pair = re.split(r"\s*[=:\s]\s*", line, maxsplit=1)
        if len(pair) == 2:
            properties[pair[0]] = pair[1]
    return properties


@dataclass
class Output:
    """The standard output of ``job`` so far."""

    job: str
    line: Mapping[str, Any] | None = None
    is_out_of_memory: bool = False
    application: str | None = None
    ends_a_line: bool = True
    parts: list[bytes] = field(default_factory=list, repr=False)
    size: int = 0

    def read(self, chunk: bytes) -> None:
        """Record the parts of ``chunk`` that concern the job."""
        self.ends_a_line = chunk.endswith(b"\n")
        first, *others = chunk.split(b"\n")
        self._append(first)
        for text in others:
            self.close()
            self._append(text)

    def _append(self, text: bytes) -> None:
        self.size += len(text)
        if self.size <= LONGEST_LINE:
            self.parts.append(text)

    def close(self) -> None:
        """Record the line that ends here."""
        text = b"".join(self.parts)
        self.parts = []
        self.size = 0
        if OUT_OF_MEMORY in text:
            self.is_out_of_memory = True
        if started := APPLICATION.search(text):
            self.application = started[1].decode()
        # A library may have printed a progress bar without a line break before the JSON line.
        start = text.rfind(LINE_START)
        if start >= 0:
            self.line = parse_line(text[start:], self.job) or self.line


def parse_line(text: bytes, job: str) -> Mapping[str, Any] | None:
    """Return the JSON line of ``job``, or None if ``text`` is anything else."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    if isinstance(parsed, dict) and parsed.get("job") == job and "status" in parsed:
        return parsed
    return None


@dataclass(frozen=True)
class Cause:
    """The cause of an end without a JSON line, its remedy, and the kind of error."""

    message: str
    remedy: str
    kind: str = "unavailable"


class Relay(threading.Thread):
    """Thread that copies the output of a process to the output of this one, and records it."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Output) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._output = output
        self._reading_since = time.monotonic()

    def run(self) -> None:
        """Relay until the end. Read on if the reader is gone, so that the job does not block."""
        assert self._process.stdout is not None
        target = sys.stdout
        while chunk := os.read(self._process.stdout.fileno(), 1 << 16):
            self._reading_since = float("inf")
            self._output.read(chunk)
            if target is not None and not write(target.buffer, chunk):
                target = None
            self._reading_since = time.monotonic()

    def drain(self) -> None:
        """Wait until all output is relayed, but not for a pipe that is only kept open."""
        while self.is_alive() and time.monotonic() - self._reading_since < SECONDS_TO_DRAIN:
            self.join(0.1)
        self._output.close()


def write(stream: Any, text: bytes) -> bool:
    """Write ``text`` at once. Return False if ``stream`` has no reader any more."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def main(command: Sequence[str]) -> int:
    """Run ``command``, a spark-submit with its arguments, to its end; return the exit code."""
    if parent := os.environ.pop(SUBMITTED_BY, None):
        die_with_parent(int(parent))

    submission = parse(command[1:])
    if submission.job is None:
        os.execvp(command[0], list(command))

    started = time.monotonic()
    kills_before = out_of_memory_kills()
    output = Output(submission.job)
    try:
        code = run(command, output)
    except OSError as error:
        cause = Cause(
            f"spark-submit cannot be started: {error}", "correct SPARK_HOME and rerun", "bad_config"
        )
    else:
        if output.line is not None:
            return code_after(output.line, code)
        if code == 0 and HELP & set(submission.arguments):
            return code
        kills = out_of_memory_kills() - kills_before
        cause = explain(code, submission, output, kills)

    report(submission, cause, output, seconds=time.monotonic() - started)
    return EXIT_CODES[cause.kind]


def run(command: Sequence[str], output: Output) -> int:
    """Run ``command``, relay its output, and return its exit code: 128 + n for signal n."""
    supervisor = os.getpid()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: die_with_parent(supervisor),  # noqa: PLW1509, still one thread
    )
    for number in FORWARDED:
        signal.signal(number, lambda received, _: process.send_signal(received))
    relay = Relay(process, output)
    relay.start()
    code = process.wait()
    relay.drain()
    if code < 0:
        return 128 - code
    return code


def code_after(line: Mapping[str, Any], code: int) -> int:
    """Return the exit code of a job with its line: a JVM that crashes after it changes nothing."""
    kind = str((line.get("error") or {}).get("kind"))
    reported = EXIT_CODES.get(kind, EXIT_CODES["unexpected"])
    if line["status"] == "done":
        reported = 0
    if line["status"] == "nothing_to_do":
        reported = NOTHING_TO_DO
    if code != reported and sys.stderr is not None:
        text = f"spark-submit ended with exit code {code} after the job had reported {reported}"
        print(text, file=sys.stderr)
    return reported


def out_of_memory_kills() -> int:
    """Return how often the kernel has killed a process of this control group for its memory."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        group = next(line.partition("::")[2] for line in own if line.startswith("0::"))
        events = Path(f"/sys/fs/cgroup{group}", "memory.events").read_text(encoding="utf-8").split()
        return int(events[events.index("oom_kill") + 1])
    except (OSError, StopIteration, ValueError):
        return 0


def explain(code: int, submission: Submission, output: Output, kills: int) -> Cause:
    """Return why a job with exit code ``code`` ended without its JSON line.

    ``kills``: how many processes the kernel has killed meanwhile because memory ran out.
    """
    memory = submission.settings.get("spark.driver.memory", DEFAULT_MEMORY)
    # 3 with -XX:+ExitOnOutOfMemoryError, 52 from Spark's own handler.
    if code in (3, 52) or output.is_out_of_memory:
        return Cause(
            f"the driver's JVM ran out of memory (exit code {code}, "
            f"spark.driver.memory is {memory})",
            "raise spark.driver.memory, for example --driver-memory 4g, or run fewer dates at once",
        )
    if code == 0:
        return Cause(
            "the job ended without its JSON line",
            "look for a call of sys.exit or os._exit in the model code and its libraries",
            "unexpected",
        )
    if code > 128:
        return explain_signal(code - 128, memory, kills)
    return Cause(
        f"spark-submit ended with exit code {code} before the job could report",
        "read the message above, correct the command or the settings it names, and rerun",
    )


def explain_signal(number: int, memory: str, kills: int) -> Cause:
    """Return why a job was ended by signal ``number``."""
    if number == signal.SIGKILL and kills > 0:
        return Cause(
            "the kernel killed the job: the memory of this machine or container ran out "
            f"(spark.driver.memory is {memory})",
            "raise the memory limit of the container (DRIVERS_MEMORY in .env), run fewer jobs at "
            "once, or lower spark.driver.memory",
        )
    if number == signal.SIGKILL:
        return Cause(
            "the job was killed (SIGKILL)",
            "rerun it; if no one killed it, the machine ran out of memory: check the kernel's log, "
            "and lower spark.driver.memory or run fewer jobs at once",
        )
    if number == signal.SIGABRT:
        return Cause(
            "the driver's JVM aborted (SIGABRT)",
            "read the JVM's message above; if it names memory, free memory on this machine or "
            "lower spark.driver.memory, then rerun",
        )
    name = f"signal {number}"
    with suppress(ValueError):  # real-time signals have no name
        name = signal.Signals(number).name
    return Cause(f"the job was ended by {name}", "rerun it")


def report(submission: Submission, cause: Cause, output: Output, seconds: float) -> None:
    """Print the JSON line that the job could not print itself."""
    end = submission.argument("--end")
    line: dict[str, Any] = {
        "job": output.job,
        "pipeline": submission.argument("--pipeline"),
        "start": submission.argument("--start") or end,
        "end": end,
    }
    if output.application:
        line["spark_application_id"] = output.application
    line["seconds"] = {"total": round(seconds, 2)}
    line["status"] = "failed"
    line["error"] = {"kind": cause.kind, "message": cause.message, "remedy": cause.remedy}

    if sys.stderr is not None:
        write(sys.stderr.buffer, f"{cause.message}\n  {cause.remedy}\n".encode())
    if sys.stdout is not None:
        text = json.dumps(line).encode() + b"\n"
        if not output.ends_a_line:
            text = b"\n" + text
        write(sys.stdout.buffer, text)


def leave(code: int) -> None:
    """End this process with ``code``, also if its output has no reader any more."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
