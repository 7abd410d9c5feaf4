"""One process at a time writes the tables of a pipeline."""

import datetime as dt
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from batchml.errors import Unavailable
from batchml.lake.lease import Holder, Lease, Times, held

# On a busy machine a process may stand still for seconds.
SHORT = Times(renew=0.1, abandoned=60, wait=0.5, look=0.05)
PATIENT = Times(renew=0.1, abandoned=3, wait=30, look=0.05)


def lease(folder: Path, job: str, times: Times = SHORT) -> Lease:
    return Lease(str(folder), Holder.this_process(job), times)


def test_second_writer_reports_the_holder(tmp_path):
    with (
        held(lease(tmp_path, "ingest")) as first,
        pytest.raises(Unavailable, match=rf"ingest of .* \(process {os.getpid()} on ") as refused,
        held(lease(tmp_path, "score_batch")),
    ):
        pytest.fail("two processes write")
    assert refused.value.exit_code == 5
    first.require_held()


def test_released_lease_is_free(tmp_path):
    for job in ("ingest", "build_features", "ingest"):
        with held(lease(tmp_path, job)) as own:
            own.require_held()


def test_waiting_writer_follows_the_first(tmp_path):
    first = lease(tmp_path, "ingest")
    first.take()
    threading.Timer(0.5, first.release).start()
    with held(lease(tmp_path, "score_batch", PATIENT)) as second:
        second.require_held()


def test_reused_process_number_is_dead():
    me = Holder.this_process("ingest")
    assert not me.is_dead
    assert replace(me, process_started=me.process_started - 100).is_dead


def test_process_on_another_machine_keeps_the_lease(tmp_path):
    elsewhere = replace(Holder.this_process("ingest"), machine="another", process=10**8)
    assert not elsewhere.is_dead
    Lease(str(tmp_path), elsewhere, SHORT).take()
    with pytest.raises(Unavailable, match="is being written by ingest"):
        lease(tmp_path, "ingest").take()


def test_lease_without_renewals_is_taken_over(tmp_path):
    elsewhere = replace(Holder.this_process("ingest"), machine="another")
    abandoned = Lease(str(tmp_path), elsewhere, SHORT)
    abandoned.take()
    with held(lease(tmp_path, "score_batch", PATIENT)):
        abandoned.renew()
        with pytest.raises(Unavailable, match="taken over by score_batch"):
            abandoned.require_held()


def test_suspended_holder_renews_before_writing(tmp_path):
    now = [0.0]
    own = replace(lease(tmp_path, "ingest"), clock=lambda: now[0])
    own.take()
    now[0] = 1000.0
    own.require_held()


def test_holder_without_renewal_stops(tmp_path, monkeypatch):
    now = [0.0]
    own = replace(lease(tmp_path, "ingest"), clock=lambda: now[0])
    own.take()

    def broken() -> None:
        raise Unavailable("the lake is gone")

    monkeypatch.setattr(own, "_read", broken)
    now[0] = 1000.0
    with pytest.raises(Unavailable, match="it was not renewed"):
        own.require_held()


def test_one_of_several_writers_wins(tmp_path):
    won: list[str] = []

    def take(number: int) -> None:
        try:
            lease(tmp_path, f"job {number}").take()
        except Unavailable:
            return
        won.append(str(number))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_unwritable_lake_is_unavailable(tmp_path):
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be written"):
        lease(tmp_path / "lake", "ingest").take()


def test_taken_lease_fails_the_next_commit(tmp_path):
    own = lease(tmp_path, "ingest", replace(SHORT, look=0))
    own.take()
    own.release()
    lease(tmp_path, "score_batch").take()
    with pytest.raises(Unavailable, match="taken over by score_batch"):
        own.require_held()


def test_holder_text_describes_the_process():
    since = dt.datetime(2021, 1, 5, 3, tzinfo=dt.UTC)
    me = replace(Holder.this_process("ingest"), user="ann", process=7, host="db1", taken=since)
    assert str(me) == "ingest of ann (process 7 on db1, since 2021-01-05 03:00:00 UTC)"
