"""Whether the parts of a stack fit together, by what driver, executors and master say of themselves."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

SKEW_SECONDS = 2.0
FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Facts:
    """One Python process of the application, as it sees itself."""

    host: str
    folder: str
    """Its working folder: with the host, what tells executors apart."""
    python: str
    pyspark: str
    jars: frozenset[str]
    """Names and sizes of Spark's jars."""
    user: int
    epoch: float
    """Its clock, in seconds since 1970."""
    free_bytes: int
    """Free space where it spills and where the lake lies, the lesser of the two."""


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do if it is not sound."""

    check: str
    sound: bool
    found: str
    remedy: str = ""


def workers_answer(alive: Collection[str], registered: Sequence[str], answers: int) -> Finding:
    """Check that every live worker has an executor, and that every executor responded.

    Workers and executors are compared by host, as Spark names them. In local mode there are none,
    and the driver responds. When another application ends meanwhile, the master starts one more
    executor on its cores: there are then more answers than registered executors.
    """
    missing = set(alive) - set(registered)
    expected = max(len(registered), 1)
    found = f"{answers} of {max(expected, answers)} answered"
    if missing:
        found += f", none on {_names(missing)}"
    return Finding(
        "executors",
        not missing and answers >= expected,
        found,
        "a worker whose cores or memory are all taken gives no executor: wait for the running applications, or look "
        "at the worker's log",
    )


def same_software(driver: Facts, executors: Sequence[Facts]) -> Iterator[Finding]:
    """Check that Python, pyspark, jars and user of every executor are the driver's."""
    remedy = "build one image (`docker compose build`) and start all containers from it"
    for check, mine, theirs in (
        ("python", driver.python, {facts.host: facts.python for facts in executors}),
        ("pyspark", driver.pyspark, {facts.host: facts.pyspark for facts in executors}),
        ("user", str(driver.user), {facts.host: str(facts.user) for facts in executors}),
    ):
        other = {host: value for host, value in theirs.items() if value != mine}
        found = mine if not other else f"{mine} on the driver, but {_pairs(other)}"
        yield Finding(check, not other, found, remedy)
    differing = {
        facts.host: facts.jars ^ driver.jars for facts in executors if facts.jars != driver.jars
    }
    listed = "; ".join(
        f"{host} differs in {_names(jars)}" for host, jars in sorted(differing.items())
    )
    yield Finding(
        "jars", not differing, listed or f"the same {len(driver.jars)} jars everywhere", remedy
    )


def clocks_agree(executors: Sequence[Facts], before: float, after: float) -> Finding:
    """Check that every executor's clock agrees with the driver's.

    Each was read between ``before`` and ``after`` on the driver's clock.
    """
    skews = {facts.host: max(before - facts.epoch, facts.epoch - after, 0.0) for facts in executors}
    wrong = {host: f"{skew:.1f} s" for host, skew in skews.items() if skew > SKEW_SECONDS}
    found = f"off by {_pairs(wrong)}" if wrong else f"within {SKEW_SECONDS:.0f} s of the driver's"
    return Finding("clocks", not wrong, found, "let every host keep its clock by NTP")


def disks_have_room(everyone: Sequence[Facts]) -> Finding:
    """Check that a gigabyte is free for the lake and for the files Spark spills."""
    least = min(everyone, key=lambda facts: facts.free_bytes)
    found = f"{least.free_bytes / FREE_BYTES:.1f} GB free on {least.host}, the fullest"
    return Finding(
        "disk",
        least.free_bytes >= FREE_BYTES,
        found,
        "remove what is not needed: `docker system df`",
    )


def _names(names: Collection[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{value} on {host}" for host, value in sorted(values.items()))
