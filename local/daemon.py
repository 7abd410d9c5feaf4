"""`make local-up` and `make local-down`: what `make ui` does, in the background."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from local.stack.processes import StackError
from local.stack.secret_files import PRIVATE
from local.stack.stack import ROOT, SECONDS_TO_START

SECONDS_TO_STOP = 60


def main() -> int:
    """0 when it is done, 1 with the reason when it is not."""
    parser = argparse.ArgumentParser(prog="make local-up", description=__doc__)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("--schedules", action="store_true", help="let Airflow start the daily runs")
    parser.add_argument("--state", type=lambda given: Path(given).resolve(), default=ROOT / "data" / "local")
    given = parser.parse_args()
    os.umask(PRIVATE)
    try:
        print(up(given.state, given.schedules) if given.what == "up" else down(given.state))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def up(state: Path, schedules: bool) -> str:
    """Starts the stack unless it is up, waits until it answers, and gives its addresses."""
    log = state / "ui.log"
    if running(state) is None:
        state.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "local.ui", "--state", str(state), *(["--schedules"] if schedules else [])]
        with log.open("w") as output:
            # A session of its own: closing the terminal is no reason to end.
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, start_new_session=True)
        pid_file(state).write_text(str(process.pid))
        wait_for_addresses(process, log)
    addresses = next(line for line in log.read_text().splitlines() if line.startswith("open "))
    return f"{addresses}\n`make local-down` ends it"


def wait_for_addresses(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the log names them. Raises StackError with the log if the process ends before."""
    deadline = time.monotonic() + 3 * SECONDS_TO_START
    while "\nopen " not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the stack did not start:\n{log.read_text()}")
        time.sleep(0.5)


def down(state: Path) -> str:
    """Ends the stack as Ctrl-C would; twice is safe."""
    process = running(state)
    if process is None:
        return "nothing to end: `make local-up` has not been run, or has been ended"
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except psutil.TimeoutExpired as error:
        raise StackError(f"the stack (process {process.pid}) does not end: see {state}/ui.log") from error
    pid_file(state).unlink(missing_ok=True)
    return "ended"


def pid_file(state: Path) -> Path:
    """Holds the number of the process that looks after the stack."""
    return state / "ui.pid"


def running(state: Path) -> psutil.Process | None:
    """The process that `make local-up` started, if it is alive; a number that now belongs to another is not it."""
    try:
        process = psutil.Process(int(pid_file(state).read_text()))
        is_ours = "local.ui" in process.cmdline() and Path(process.cwd()) == ROOT
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None


if __name__ == "__main__":
    sys.exit(main())
