"""Check that the parts of a stack fit together, from the facts that its processes report."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

SKEW_SECONDS = 2.0
FREE_BYTES = 1 << 30
LISTED_NAMES = 5
ONE_IMAGE = "build one image (`docker compose build`) and start all containers from it"


@dataclass(frozen=True)
class ProcessInfo:
    """One Python process of the application, as it sees itself."""

    host: str
    folder: str
    """Its working folder, which with the host identifies an executor."""
    python: str
    pyspark: str
    jars: frozenset[str]
    """Names and sizes of Spark's jars."""
    user: int
    epoch: float
    """Its clock, in seconds since 1970."""
    free_bytes: int
    """Free space where it spills and where the lake is, the lesser of the two."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: what was observed, and what to do if it is not ok."""

    check: str
    ok: bool
    observed: str
    remedy: str = ""


def check_executors(alive: Collection[str], registered: Sequence[str], answers: int) -> CheckResult:
    """Check that every live worker has an executor, and that every executor responded.

    Workers and executors are compared by host, as Spark names them. In local mode there are none,
    and the driver responds. When another application ends meanwhile, the master starts one more
    executor on its cores: there are then more answers than registered executors.
    """
    missing = set(alive) - set(registered)
    expected = max(len(registered), 1)
    observed = f"{answers} of {max(expected, answers)} answered"
    if missing:
        observed += f", none on {_names(missing)}"
    return CheckResult(
        check="executors",
        ok=not missing and answers >= expected,
        observed=observed,
        remedy="a worker whose cores or memory are all taken starts no executor: wait for the "
        "running applications, or look at the worker's log",
    )


def check_software(driver: ProcessInfo, executors: Sequence[ProcessInfo]) -> Iterator[CheckResult]:
    """Check that Python, pyspark, jars and user of every executor are the driver's."""
    pythons = {executor.host: executor.python for executor in executors}
    yield _check_equal("python", driver.python, pythons)
    pysparks = {executor.host: executor.pyspark for executor in executors}
    yield _check_equal("pyspark", driver.pyspark, pysparks)
    users = {executor.host: str(executor.user) for executor in executors}
    yield _check_equal("user", str(driver.user), users)
    yield _check_jars(driver, executors)


def check_clocks(executors: Sequence[ProcessInfo], before: float, after: float) -> CheckResult:
    """Check that every executor's clock agrees with the driver's.

    Each was read between ``before`` and ``after`` on the driver's clock.
    """
    skews: dict[str, float] = {}
    for executor in executors:
        skews[executor.host] = max(before - executor.epoch, executor.epoch - after, 0.0)
    wrong = {host: f"{skew:.1f} s" for host, skew in skews.items() if skew > SKEW_SECONDS}

    observed = f"within {SKEW_SECONDS:.0f} s of the driver's"
    if wrong:
        observed = f"off by {_pairs(wrong)}"
    return CheckResult(
        check="clocks",
        ok=not wrong,
        observed=observed,
        remedy="let every host keep its clock by NTP",
    )


def check_disks(everyone: Sequence[ProcessInfo]) -> CheckResult:
    """Check that a gigabyte is free for the lake and for the files Spark spills."""
    fullest = min(everyone, key=lambda process: process.free_bytes)
    gigabytes = fullest.free_bytes / FREE_BYTES
    return CheckResult(
        check="disk",
        ok=fullest.free_bytes >= FREE_BYTES,
        observed=f"{gigabytes:.1f} GB free on {fullest.host}, the fullest",
        remedy="remove what is not needed: `docker system df`",
    )


def _check_equal(check: str, expected: str, by_host: Mapping[str, str]) -> CheckResult:
    """Check that every executor has the driver's value, which is ``expected``."""
    different = {host: value for host, value in by_host.items() if value != expected}
    observed = expected
    if different:
        observed = f"{expected} on the driver, but {_pairs(different)}"
    return CheckResult(check, not different, observed, ONE_IMAGE)


def _check_jars(driver: ProcessInfo, executors: Sequence[ProcessInfo]) -> CheckResult:
    """Check that every executor has the driver's jars."""
    different: dict[str, frozenset[str]] = {}
    for executor in executors:
        if executor.jars != driver.jars:
            different[executor.host] = executor.jars ^ driver.jars

    observed = f"the same {len(driver.jars)} jars everywhere"
    if different:
        hosts = [f"{host} differs in {_names(jars)}" for host, jars in sorted(different.items())]
        observed = "; ".join(hosts)
    return CheckResult("jars", not different, observed, ONE_IMAGE)


def _names(names: Collection[str]) -> str:
    """Return the first names, and the number of the others."""
    listed = ", ".join(sorted(names)[:LISTED_NAMES])
    others = len(names) - LISTED_NAMES
    if others > 0:
        listed += f" and {others} more"
    return listed


def _pairs(values: Mapping[str, str]) -> str:
    pairs = [f"{value} on {host}" for host, value in sorted(values.items())]
    return ", ".join(pairs)
