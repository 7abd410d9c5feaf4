"""Going back to the previous champion, and training a registered model again."""

import datetime as dt

import pytest
from pyspark.sql import functions as F

from batchml.errors import BadConfig, BadData, NothingToDo
from batchml.steps import roll_back_model
from batchml.tracking import CHALLENGER, CHAMPION, PREVIOUS, Tag, Tracker
from tests.support.rides import TRAINED, aliases, train_and_promote

FIRST, SECOND = TRAINED, "2021-01-17"


@pytest.fixture(scope="module")
def two_versions(shared_bench):
    """Version 1, trained up to the 14th, and version 2, up to the 17th."""
    shared_bench.run("score_batch", "rides", "2021-01-15", "2021-01-17")
    train_and_promote(shared_bench, SECOND)
    return shared_bench


@pytest.fixture
def replaced(two_versions):
    """Version 1 scored the 15th to the 17th, version 2 took over and scored the 18th and 19th."""
    tracker = two_versions.tracker("rides")
    first, second = tracker.get(1), tracker.get(2)
    for alias, version in ((CHALLENGER, second), (CHAMPION, second), (PREVIOUS, first)):
        tracker.set_alias(alias, version)
    for version, tag in ((first, Tag.RESTORED), (second, Tag.WITHDRAWN)):
        if tag in version.tags:
            tracker.client.delete_model_version_tag("rides", version.version, tag)
    two_versions.run("score_batch", "rides", "2021-01-18", "2021-01-19", options={"with": 2})
    return two_versions


def scored_by(bench) -> dict[str, int]:
    rows = (
        bench.table("rides", "predictions")
        .select("event_date", "model_version")
        .distinct()
        .collect()
    )
    return {str(row["event_date"])[-2:]: row["model_version"] for row in rows}


def roll_back(bench):
    return bench.run("promote_model", "rides", "2021-01-20", options={"rollback": True})


def test_rollback_restores_the_previous_predictions(replaced):
    assert scored_by(replaced) == {"15": 1, "16": 1, "17": 1, "18": 2, "19": 2}
    summary = roll_back(replaced)
    assert (summary.details.withdrawn, summary.details.restored) == (2, 1)
    assert summary.details.dates == (dt.date(2021, 1, 18), dt.date(2021, 1, 19))
    assert aliases(replaced) == {"challenger": 2, "champion": 1, "previous": None}
    assert scored_by(replaced) == {"15": 1, "16": 1, "17": 1, "18": 1, "19": 1}
    tracker = replaced.tracker("rides")
    assert tracker.get(2).tags[Tag.WITHDRAWN].endswith("for version 1")
    assert tracker.get(1).tags[Tag.RESTORED].endswith("for version 2")


def test_rollback_refuses_another_label(replaced):
    before = aliases(replaced)
    other = ("label=hour", "inputs={numeric: [miles, minutes]}")
    with pytest.raises(
        BadConfig, match=r"rides version 1 cannot serve again: it predicts minutes \(regression\)"
    ):
        replaced.run("promote_model", "rides", TRAINED, settings=other, options={"rollback": True})
    assert aliases(replaced) == before
    assert replaced.tracker("rides").tagged(Tag.WITHDRAWN) == []


def test_second_rollback_changes_nothing(replaced):
    roll_back(replaced)
    rows = replaced.rows("rides", "predictions")
    with pytest.raises(NothingToDo, match="no previous champion to go back to; version 1 stays"):
        roll_back(replaced)
    assert aliases(replaced) == {"challenger": 2, "champion": 1, "previous": None}
    assert replaced.rows("rides", "predictions") == rows


@pytest.mark.parametrize("dies_in", ["set_tags", "set_alias", "delete_alias", "score"])
def test_killed_rollback_is_finished_by_the_next(replaced, monkeypatch, dies_in: str):
    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(
            *((roll_back_model.serving, "score") if dies_in == "score" else (Tracker, dies_in)), die
        )
        roll_back(replaced)
    roll_back(replaced)
    assert aliases(replaced) == {"challenger": 2, "champion": 1, "previous": None}
    assert set(scored_by(replaced).values()) == {1}


def test_withdrawn_version_is_not_promoted(replaced):
    roll_back(replaced)
    with pytest.raises(NothingToDo, match="version 2 was withdrawn by a rollback"):
        replaced.run("promote_model", "rides", SECOND)
    assert aliases(replaced)[CHAMPION] == 1


def test_manual_gate_requires_an_approver(replaced):
    manual = ("gate.approval=manual",)
    tracker = replaced.tracker("rides")
    tracker.set_alias(CHAMPION, tracker.get(1))
    with pytest.raises(
        NothingToDo, match="version 2 waits for a person's approval: it passed the gate"
    ):
        replaced.run("promote_model", "rides", SECOND, settings=manual)
    assert aliases(replaced)[CHAMPION] == 1
    of_another = {"approved_by": "ada", "approved_version": 1}
    with pytest.raises(
        BadData, match="version 1 was approved, but the challenger is version 2 by now"
    ):
        replaced.run("promote_model", "rides", SECOND, settings=manual, options=of_another)
    done = replaced.run(
        "promote_model", "rides", SECOND, settings=manual, options={"approved_by": "ada"}
    )
    assert (done.details.approved_by, done.details.changed) == ("ada", True)
    assert aliases(replaced)[CHAMPION] == 2
    assert tracker.get(2).tags["gate.approved_by"] == "ada"


def test_model_is_reproduced_from_replaced_rows(trained):
    later = trained.table("rides", "features").withColumn("miles", F.col("miles") * 2).cache()
    later.count()
    path = f"{trained.places.lake}/rides/features"
    later.write.format("delta").mode("overwrite").save(path)
    summary = trained.run("train_model", "rides", "2021-03-01", options={"reproduce": 1})
    found = summary.details.metrics
    assert set(found) >= {"train_rmse", "holdout_rmse", "train_rows", "holdout_rows"}
    assert all(pair.now == pytest.approx(pair.was, rel=1e-9) for pair in found.values())
    assert aliases(trained)["challenger"] == 1, "nothing is registered"


@pytest.mark.parametrize(
    "estimator",
    [
        "{kind: random_forest, params: {numTrees: 10, subsamplingRate: 0.7}}",
        "{kind: gbt, params: {maxIter: 5, subsamplingRate: 0.7}}",
        "{kind: xgboost, params: {n_estimators: 20, subsample: 0.7}}",
    ],
    ids=lambda estimator: estimator.split(",")[0].split()[-1],
)
def test_random_estimator_is_reproduced(bench, estimator: str):
    bench.run("train_model", "rides", FIRST, settings=(f"estimator={estimator}",))
    summary = bench.run("train_model", "rides", FIRST, options={"reproduce": 1})
    assert summary.details.metrics["train_rmse"].now > 0
    assert summary.details.reason == "4 metrics are the same within 1e-09"


def test_failed_reproduction_names_the_metric(trained):
    tracker = trained.tracker("rides")
    with tracker.resume(str(tracker.get(1).run_id)):
        tracker.log(metrics={"holdout_rmse": 1.5})
    with pytest.raises(BadData, match="version 1 does not come out the same") as failed:
        trained.run("train_model", "rides", FIRST, options={"reproduce": 1})
    assert "holdout_rmse was 1.5 and is" in str(failed.value)
    with pytest.raises(BadConfig, match="rides has no version 9"):
        trained.run("train_model", "rides", FIRST, options={"reproduce": 9})
