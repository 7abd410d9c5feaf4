"""What preflight makes of what the parts of a stack say of themselves."""

from dataclasses import replace

from batchml.spark.stack_checks import (
    Facts,
    clocks_agree,
    disks_have_room,
    same_software,
    workers_answer,
)

DRIVER = Facts(
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


def test_every_alive_worker_must_answer():
    assert workers_answer({"10.0.0.1", "10.0.0.2"}, ["10.0.0.1", "10.0.0.2"], answers=2).sound
    missing = workers_answer({"10.0.0.1", "10.0.0.2"}, ["10.0.0.1"], answers=1)
    assert (missing.sound, missing.found) == (False, "1 of 1 answered, none on 10.0.0.2")
    silent = workers_answer({"10.0.0.1"}, ["10.0.0.1"], answers=0)
    assert (silent.sound, silent.found) == (False, "0 of 1 answered")


def test_executor_that_starts_meanwhile_is_counted():
    more = workers_answer({"10.0.0.1"}, ["10.0.0.1"], answers=2)
    assert (more.sound, more.found) == (True, "2 of 2 answered")


def test_driver_answers_in_local_mode():
    assert workers_answer(set(), [], answers=1).sound
    assert not workers_answer(set(), [], answers=0).sound


def test_differing_software_is_named_with_host():
    findings = same_software(
        DRIVER, [ONE, replace(TWO, python="3.12.1", jars=frozenset({"a.jar (1 bytes)"}))]
    )
    told = {finding.check: (finding.sound, finding.found) for finding in findings}
    assert told == {
        "python": (False, "3.11.7 on the driver, but 3.12.1 on two"),
        "pyspark": (True, "4.2.0"),
        "user": (True, "10001"),
        "jars": (False, "two differs in b.jar (2 bytes)"),
    }


def test_equal_software_passes():
    findings = list(same_software(DRIVER, [ONE, TWO]))
    assert all(finding.sound for finding in findings)
    assert findings[-1].found == "the same 2 jars everywhere"


def test_clocks_may_differ_by_two_seconds():
    assert clocks_agree(
        [replace(ONE, epoch=998.1), replace(TWO, epoch=1011.9)], before=1000.0, after=1010.0
    ).sound
    late = clocks_agree([ONE, replace(TWO, epoch=1012.5)], before=1000.0, after=1010.0)
    assert (late.sound, late.found) == (False, "off by 2.5 s on two")


def test_fullest_disk_decides():
    full = disks_have_room([DRIVER, ONE, replace(TWO, free_bytes=(1 << 30) - 1)])
    assert (full.sound, full.found) == (False, "1.0 GB free on two, the fullest")
    assert disks_have_room([DRIVER]).sound
