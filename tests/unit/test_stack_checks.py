"""Check the parts of a stack from the facts that its processes report."""

from dataclasses import replace

from batchml.spark.stack_checks import (
    ProcessInfo,
    check_clocks,
    check_disks,
    check_executors,
    check_software,
)

DRIVER = ProcessInfo(
    host="driver",
    folder="/work",
    python="3.11.7",
    pyspark="4.2.0",
    jars=frozenset({"a.jar (1 bytes)", "b.jar (2 bytes)"}),
    user=10001,
    epoch=1000.0,
    free_bytes=5 << 30,
)
ONE = replace(DRIVER, host="one")
TWO = replace(DRIVER, host="two")


def test_every_alive_worker_needs_an_answer():
    assert check_executors({"10.0.0.1", "10.0.0.2"}, ["10.0.0.1", "10.0.0.2"], answers=2).ok
    missing = check_executors({"10.0.0.1", "10.0.0.2"}, ["10.0.0.1"], answers=1)
    assert (missing.ok, missing.observed) == (False, "1 of 1 answered, none on 10.0.0.2")
    silent = check_executors({"10.0.0.1"}, ["10.0.0.1"], answers=0)
    assert (silent.ok, silent.observed) == (False, "0 of 1 answered")


def test_executor_that_starts_meanwhile_is_counted():
    more = check_executors({"10.0.0.1"}, ["10.0.0.1"], answers=2)
    assert (more.ok, more.observed) == (True, "2 of 2 answered")


def test_driver_answers_in_local_mode():
    assert check_executors(set(), [], answers=1).ok
    assert not check_executors(set(), [], answers=0).ok


def test_differing_software_is_named_with_host():
    checks = check_software(
        DRIVER, [ONE, replace(TWO, python="3.12.1", jars=frozenset({"a.jar (1 bytes)"}))]
    )
    results = {result.check: (result.ok, result.observed) for result in checks}
    assert results == {
        "python": (False, "3.11.7 on the driver, but 3.12.1 on two"),
        "pyspark": (True, "4.2.0"),
        "user": (True, "10001"),
        "jars": (False, "two differs in b.jar (2 bytes)"),
    }


def test_equal_software_passes():
    checks = list(check_software(DRIVER, [ONE, TWO]))
    assert all(result.ok for result in checks)
    assert checks[-1].observed == "the same 2 jars everywhere"


def test_clocks_may_differ_by_two_seconds():
    assert check_clocks(
        [replace(ONE, epoch=998.1), replace(TWO, epoch=1011.9)], before=1000.0, after=1010.0
    ).ok
    late = check_clocks([ONE, replace(TWO, epoch=1012.5)], before=1000.0, after=1010.0)
    assert (late.ok, late.observed) == (False, "off by 2.5 s on two")


def test_fullest_disk_decides():
    full = check_disks([DRIVER, ONE, replace(TWO, free_bytes=(1 << 30) - 1)])
    assert (full.ok, full.observed) == (False, "1.0 GB free on two, the fullest")
    assert check_disks([DRIVER]).ok
