"""The stack in the background: a separate process runs `python -m local ui`."""

import sys
import time
from pathlib import Path

import psutil

from local.stack.environment import ROOT
from local.stack.processes import StackError
from local.stack.readiness import SECONDS_TO_START

COMMAND = ["-m", "local", "ui"]
SECONDS_TO_STOP = 60


def start(state: Path, schedules: bool) -> str:
    """Start the stack unless it is up, wait until it responds, and return its addresses."""
    log = log_file(state)
    process = running(state) or _start_process(state, schedules, log)
    wait_for_addresses(process, log)
    addresses = next(line for line in log.read_text().splitlines() if line.startswith("open "))
    return f"{addresses}\n`make local-down` stops it"


def _start_process(state: Path, schedules: bool, log: Path) -> psutil.Process:
    """Start the stack's runner in a new session, so that it survives the end of the terminal."""
    state.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *COMMAND, "--state", str(state)]
    if schedules:
        command.append("--schedules")
    with log.open("w") as output:
        process = psutil.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, start_new_session=True
        )
    pid_file(state).write_text(str(process.pid))
    return process


def wait_for_addresses(process: psutil.Process, log: Path) -> None:
    """Wait until the log contains the addresses.

    The process is not identified by its command here: for a moment after its start, the system
    shows none.

    Raises:
        StackError: with the log, if the process ends before or takes too long.
    """
    seconds = 3 * SECONDS_TO_START
    deadline = time.monotonic() + seconds
    while "\nopen " not in log.read_text():
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise StackError(f"the stack did not start:\n{log.read_text()}")
        if time.monotonic() > deadline:
            raise StackError(f"the stack did not respond within {seconds} s:\n{log.read_text()}")
        time.sleep(0.5)


def stop(state: Path) -> str:
    """Stop the stack as Ctrl-C would, and return what was done. A second call does nothing."""
    process = running(state)
    if process is None:
        return "nothing to stop: the stack of `make local-up` is not running"
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except psutil.TimeoutExpired as error:
        raise StackError(
            f"the stack (process {process.pid}) does not stop: see {log_file(state)}"
        ) from error
    pid_file(state).unlink(missing_ok=True)
    return "stopped"


def pid_file(state: Path) -> Path:
    """Return the file that contains the process id of the stack's runner."""
    return state / "ui.pid"


def log_file(state: Path) -> Path:
    """Return the file that contains the output of the stack's runner."""
    return state / "ui.log"


def running(state: Path) -> psutil.Process | None:
    """Return the process that `make local-up` started, or None if it has ended."""
    try:
        process = psutil.Process(int(pid_file(state).read_text()))
        # The number may belong to another process by now.
        is_ours = process.cmdline()[1:4] == COMMAND and Path(process.cwd()) == ROOT
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    if not is_ours or process.status() == psutil.STATUS_ZOMBIE:
        return None
    return process
