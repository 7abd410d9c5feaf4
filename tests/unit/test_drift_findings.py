"""Compute the findings of a day from its counts, without Spark."""

import datetime as dt
import math

import pytest

from batchml.config import Levels, Monitoring
from batchml.models.drift import (
    DayLoss,
    Finding,
    column_findings,
    error_findings,
    quarantine_findings,
    worst,
)
from batchml.models.reference import Reference

MONDAY, TUESDAY = dt.date(2021, 2, 1), dt.date(2021, 2, 2)
BOROUGH = Reference(values=("A", "B"), counts={"=A": 500, "=B": 490, "null": 10})
ERRORS = Levels(watch=0.15, alarm=0.3)


def levels(findings: list[Finding]) -> dict[tuple[dt.date, str], str]:
    return {(finding.event_date, finding.measure): finding.level for finding in findings}


def test_column_has_three_findings_a_date():
    counts = {
        TUESDAY: {"borough": {"=A": 300, "=B": 300, "null": 400}},
        MONDAY: {"borough": {"=A": 500, "=B": 490, "null": 10}},
    }
    findings = list(column_findings(counts, {"borough": BOROUGH}, Monitoring(), model_version=7))
    assert [finding.event_date for finding in findings] == [MONDAY] * 3 + [TUESDAY] * 3
    assert levels(findings) == {
        (MONDAY, "psi"): "ok",
        (MONDAY, "nulls"): "ok",
        (MONDAY, "unseen"): "ok",
        (TUESDAY, "psi"): "ok",
        (TUESDAY, "nulls"): "alarm",
        (TUESDAY, "unseen"): "ok",
    }
    assert findings[4] == Finding(TUESDAY, "borough", "nulls", 0.4, 0.01, "alarm", 1000, 7)


def test_unseen_values_alarm():
    counts = {MONDAY: {"borough": {"=A": 500, "unseen": 500}}}
    findings = list(column_findings(counts, {"borough": BOROUGH}, Monitoring(), 7))
    assert levels(findings)[(MONDAY, "unseen")] == "alarm"


def test_error_is_compared_with_its_versions_evaluation():
    losses = [
        DayLoss(TUESDAY, model_version=2, rows=1000, loss=49.0, spread=10.0),
        DayLoss(MONDAY, model_version=1, rows=1000, loss=49.0, spread=10.0),
    ]
    findings = list(error_findings(losses, {1: 7.0, 2: 5.0}, ERRORS, "regression"))
    assert findings == [
        Finding(MONDAY, "prediction", "rmse", 7.0, 7.0, "ok", 1000, 1),
        Finding(TUESDAY, "prediction", "rmse", 7.0, 5.0, "alarm", 1000, 2),
    ]


def test_classification_error_is_a_share():
    losses = [DayLoss(MONDAY, 1, rows=1000, loss=0.2, spread=0.4)]
    [finding] = error_findings(losses, {1: 0.1}, ERRORS, "classification")
    assert (finding.measure, finding.value, finding.level) == ("error_rate", 0.2, "alarm")


def test_version_without_evaluation_never_alarms():
    losses = [DayLoss(MONDAY, 1, rows=1000, loss=49.0, spread=10.0)]
    [finding] = error_findings(losses, {1: math.inf}, ERRORS, "regression")
    assert finding.level == "ok"


@pytest.mark.parametrize(("rows", "level"), [(0, "ok"), (150, "watch"), (190, "alarm")])
def test_quarantined_share_alarms_before_ingest_fails(rows: int, level: str):
    [finding] = quarantine_findings({MONDAY: 1000}, {MONDAY: rows}, max_share=0.2)
    assert finding == Finding(MONDAY, "rows", "quarantined", rows / 1000, 0.0, level, 1000, 0)


def test_any_quarantined_row_alarms_if_none_is_allowed():
    [finding] = quarantine_findings({MONDAY: 1000}, {MONDAY: 1}, max_share=0.0)
    assert finding.level == "alarm"


def test_finding_prints_its_level():
    finding = Finding(MONDAY, "miles", "psi", 0.3141, 0.0, "alarm", 1000, 7)
    assert finding.series == "psi.miles"
    assert str(finding) == "2021-02-01 miles: psi 0.314 (alarm)"


def test_worst_level_of_nothing_is_ok():
    assert worst([]) == "ok"
    assert worst(["ok", "alarm", "watch"]) == "alarm"
