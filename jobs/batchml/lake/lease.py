"""Take and renew the right to write the tables of a pipeline, which one job has at a time.

The lease is a Delta table of one row. A job takes, renews and releases it by commits that fail if
another process has committed in between.
"""

import datetime as dt
import getpass
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from batchml.errors import Unavailable, first_line

LOG = logging.getLogger(__name__)
TABLE = "lease"
SCHEMA = pa.schema(
    [
        ("holder", pa.string()),
        ("job", pa.string()),
        ("user", pa.string()),
        ("host", pa.string()),
        ("machine", pa.string()),
        ("process", pa.int64()),
        ("process_started", pa.float64()),
        ("taken", pa.timestamp("us", tz="UTC")),
        ("renewed", pa.timestamp("us", tz="UTC")),
    ]
)
CONFIGURATION = {"delta.checkpointInterval": "20", "delta.logRetentionDuration": "interval 1 days"}
AT_ONCE = CommitProperties(max_commit_retries=0)
"""Fail if another process has committed, in place of a second attempt."""
RENEWALS_BETWEEN_CLEAN_UPS = 50
PLACE_OF_START = 19  # of the start among the fields behind the name
TICKS_THAT_ARE_EQUAL = 2
HOURS_TO_KEEP_FILES = 1


@dataclass(frozen=True)
class Times:
    """Times of a lease, in seconds.

    ``renew``: between renewals. ``abandoned``: until an unrenewed lease counts as abandoned.
    ``wait``: the longest wait for the lease. ``look``: between two looks at it.
    """

    renew: float = 10
    abandoned: float = 45
    wait: float = 60
    look: float = 2


@dataclass(frozen=True)
class Holder:
    """The process that has the lease. ``holder`` is empty if no process has it."""

    holder: str
    job: str
    user: str
    host: str
    machine: str
    """Machine and process namespace, in which ``process`` means the same."""
    process: int
    process_started: float
    taken: dt.datetime
    renewed: dt.datetime

    @classmethod
    def this_process(cls, job: str) -> "Holder":
        """Return this process as a holder."""
        process = psutil.Process()
        now = dt.datetime.now(dt.UTC)
        return cls(
            holder=uuid.uuid4().hex,
            job=job,
            user=_user(),
            host=socket.gethostname(),
            machine=_machine(),
            process=process.pid,
            process_started=_started(process.pid),
            taken=now,
            renewed=now,
        )

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Holder":
        """Return the holder of a stored row; columns of a newer version are ignored."""
        return cls(**{name: row[name] for name in SCHEMA.names})

    @property
    def is_dead(self) -> bool:
        """Return True if the process ran on this machine and has ended."""
        if self.machine != _machine():
            return False
        try:
            return abs(_started(self.process) - self.process_started) > TICKS_THAT_ARE_EQUAL
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False

    def __str__(self) -> str:
        return (
            f"{self.job} of {self.user} (process {self.process} on {self.host}, "
            f"since {self.taken:%Y-%m-%d %H:%M:%S} UTC)"
        )


def _started(process: int) -> float:
    """Return when ``process`` started, in ticks since the machine did, or seconds elsewhere.

    The seconds of psutil move with corrections of the clock. Raise psutil.NoSuchProcess if it has
    ended.
    """
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return psutil.Process(process).create_time()
    # The name of the program, in brackets, may have spaces: proc(5).
    return float(status.rpartition(")")[2].split()[PLACE_OF_START])


def _now() -> float:
    """Return seconds that never go back, and go on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())


def _machine() -> str:
    """Return an identity of this machine since its start, and of this container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


@dataclass
class Lease:
    """The lease of the pipeline whose tables are in the folder ``root``."""

    root: str
    me: Holder
    times: Times = field(default_factory=Times)
    clock: Callable[[], float] = _now
    _renewed_at: float = 0
    _renewals: int = 0
    _lost_to: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def path(self) -> str:
        """Return the path of its table."""
        return f"{self.root.rstrip('/')}/{TABLE}"

    def take(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Take the lease, after a wait if another process has it.

        Raise Unavailable if that process keeps it, or if the lake cannot be written.
        """
        begun = seen_at = self.clock()
        seen: Holder | None = None
        while True:
            table, holder = self._read()
            if holder is None or holder.is_dead or self._is_abandoned(holder, seen, seen_at):
                if self._commit(table, self.me):
                    return
                continue

            if seen is None:
                LOG.info("waiting for %s, which writes the same tables", holder)
            if holder != seen:
                seen, seen_at = holder, self.clock()
            if self.clock() - begun >= self.times.wait:
                raise Unavailable(
                    f"{self.root} is being written by {holder}",
                    remedy="run this job again when that one has ended",
                )
            sleep(self.times.look)

    def _is_abandoned(self, holder: Holder, seen: Holder | None, seen_at: float) -> bool:
        """Return True if this process saw no renewal for ``times.abandoned`` seconds.

        The stored times do not count: the clocks of machines differ.
        """
        return holder == seen and self.clock() - seen_at >= self.times.abandoned

    def renew(self) -> None:
        """Renew the lease, or store that another process has taken it."""
        with self._lock:
            if self._lost_to:
                return
            try:
                table, holder = self._read()
                if holder is None or holder.holder != self.me.holder:
                    self._lost_to = str(holder or "another process, which has ended")
                    return
                renewed = replace(self.me, renewed=dt.datetime.now(dt.UTC))
                if self._commit(table, renewed):
                    self._clean_up(table)
            except Unavailable as error:
                LOG.warning("the lease could not be renewed: %s", error.message)

    def require_held(self) -> None:
        """Raise Unavailable if another process may have taken the lease meanwhile."""
        if self.clock() - self._renewed_at > self.times.look:
            self.renew()  # another process may have assumed that this one is dead
        is_late = self.clock() - self._renewed_at > self.times.abandoned / 2
        if self._lost_to or is_late:
            cause = "it was not renewed"
            if self._lost_to:
                cause = f"it was taken over by {self._lost_to}"
            raise Unavailable(
                f"this job no longer has the lease of {self.root}: {cause}",
                remedy="run this job again when the other one has ended",
            )

    def release(self) -> None:
        """Release the lease, unless another process has taken it."""
        with self._lock, suppress(Unavailable):
            table, holder = self._read()
            if holder is not None and holder.holder == self.me.holder:
                self._commit(table, replace(self.me, holder=""))

    def _read(self) -> tuple[DeltaTable, Holder | None]:
        """Return the table and the holder of the lease; None if no process has it."""
        try:
            if not DeltaTable.is_deltatable(self.path):
                # Without rows: of two processes that create the table at once, both succeed.
                write_deltalake(
                    self.path, SCHEMA.empty_table(), mode="ignore", configuration=CONFIGURATION
                )
            table = DeltaTable(self.path)
            rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
        except (DeltaError, OSError) as error:
            raise self._unavailable(error) from error
        known = [Holder.from_row(row) for row in rows]
        return table, next((each for each in known if each.holder), None)

    def _commit(self, table: DeltaTable, holder: Holder) -> bool:
        """Write ``holder`` as the next version; return False if another process was faster."""
        columns = {name: [getattr(holder, name)] for name in SCHEMA.names}
        data = pa.table(columns, schema=SCHEMA)
        at = self.clock()
        try:
            write_deltalake(table, data, mode="overwrite", commit_properties=AT_ONCE)
        except CommitFailedError:
            return False
        except (DeltaError, OSError) as error:
            raise self._unavailable(error) from error
        self._renewed_at = at
        return True

    def _clean_up(self, table: DeltaTable) -> None:
        """Remove the files of earlier renewals from time to time."""
        self._renewals += 1
        if self._renewals % RENEWALS_BETWEEN_CLEAN_UPS:
            return
        _remove_old_files(table)

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"{self.root} cannot be written",
            first_line(error),
            remedy="check that the folder exists, that this user may write there and that its disk "
            "is not full",
        )


def clean_up(root: str) -> None:
    """Remove the files of earlier leases of the pipeline in ``root``, if any."""
    path = f"{root.rstrip('/')}/{TABLE}"
    if DeltaTable.is_deltatable(path):
        _remove_old_files(DeltaTable(path))


def _remove_old_files(table: DeltaTable) -> None:
    with suppress(DeltaError, OSError):  # another process may do the same
        table.vacuum(HOURS_TO_KEEP_FILES, dry_run=False, enforce_retention_duration=False)
        table.cleanup_metadata()


@contextmanager
def held(lease: Lease) -> Iterator[Lease]:
    """Take ``lease``, renew it in the background, and release it at the end of the block."""
    lease.take()
    end = threading.Event()

    def renew() -> None:
        while not end.wait(lease.times.renew):
            lease.renew()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        end.set()
        thread.join(lease.times.renew)
        lease.release()
