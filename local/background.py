"""`make local-up` and `make local-down`: what `make ui` does, in the background."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil

from local.processes import StackError
from local.stack import ROOT, SECONDS_TO_START

STATE = ROOT / "data" / "local"
PID, LOG = STATE / "ui.pid", STATE / "ui.log"
SECONDS_TO_STOP = 60


def main() -> int:
    """0 when it is done, 1 with the reason when it is not."""
    parser = argparse.ArgumentParser(prog="make local-up", description=__doc__)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("--schedules", action="store_true", help="let Airflow start the daily runs")
    given = parser.parse_args()
    try:
        print(up(given.schedules) if given.what == "up" else down())
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def up(schedules: bool) -> str:
    """Starts the stack unless it is up, waits until it answers, and gives its addresses."""
    if running() is None:
        STATE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "local.ui", *(["--schedules"] if schedules else [])]
        with LOG.open("w") as log:
            # A session of its own: closing the terminal is no reason to end.
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        PID.write_text(str(process.pid))
        wait_for_addresses(process)
    addresses = next(line for line in LOG.read_text().splitlines() if line.startswith("open "))
    return f"{addresses}\n`make local-down` ends it"


def wait_for_addresses(process: subprocess.Popen[bytes]) -> None:
    """Until the log names them. Raises StackError with the log if the process ends before."""
    deadline = time.monotonic() + 3 * SECONDS_TO_START
    while "\nopen " not in LOG.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the stack did not start:\n{LOG.read_text()}")
        time.sleep(0.5)


def down() -> str:
    """Ends the stack as Ctrl-C would; twice is safe."""
    process = running()
    if process is None:
        return "nothing to end: `make local-up` has not been run, or has been ended"
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except psutil.TimeoutExpired as error:
        raise StackError(f"the stack (process {process.pid}) does not end: see {LOG}") from error
    PID.unlink(missing_ok=True)
    return "ended"


def running() -> psutil.Process | None:
    """The process that `make local-up` started, if it is alive; a number that now belongs to another is not it."""
    try:
        process = psutil.Process(int(PID.read_text()))
        is_ours = "local.ui" in process.cmdline() and Path(process.cwd()) == ROOT
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None


if __name__ == "__main__":
    sys.exit(main())
