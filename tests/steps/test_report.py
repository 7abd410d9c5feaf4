"""Report a day from the tables without Spark, as a page and in the terminal."""

import datetime as dt
import re
from pathlib import Path

import pytest

from batchml.errors import NothingToDo, Unavailable
from batchml.report import status
from batchml.report.overview import Overview, Serving, read_overview

DAY = "2021-01-17"


@pytest.fixture(scope="module")
def scored(shared_bench):
    """Return a lake in which version 1, trained up to the 14th, has scored the 15th to the 17th.

    Three rides of the 16th are quarantined.
    """
    check = (
        "checks=[{name: is_not_the_sixteenth_at_night, "
        "expect: day(begin) <> 16 OR hour(begin) > 2}]",
    )
    shared_bench.run("ingest", "rides", "2021-01-16", settings=check)
    shared_bench.run("build_features", "rides", "2021-01-16")
    for job in ("score_batch", "monitor_drift"):
        shared_bench.run(job, "rides", "2021-01-15", DAY)
    return shared_bench


def day(bench, date: str | None = DAY) -> Overview:
    return read_overview(bench.places.lake, "rides", date and dt.date.fromisoformat(date))


def read_page(bench, summary) -> str:
    client = bench.tracker("rides").client
    return Path(
        client.download_artifacts(summary.mlflow.run_id, summary.mlflow.artifact)
    ).read_text()


def test_overview_agrees_with_spark(scored):
    overview = day(scored, "2021-01-16")
    assert overview.rows == {
        "bronze": 24,
        "silver": 21,
        "quarantine": 3,
        "features": 21,
        "predictions": 21,
    }
    assert overview.rejected == {"is_not_the_sixteenth_at_night": 3}
    assert overview.quarantined == 0.125
    assert overview.serving == Serving(1, dt.date(2021, 1, 14))
    assert overview.serving.age(overview.date) == 2
    rows = scored.table("rides", "drift").where("event_date = '2021-01-16'").collect()
    assert sorted(row["value"] for row in overview.drift) == sorted(row["value"] for row in rows)
    assert [row["event_date"].day for row in overview.errors] == [15, 16]
    verdict = overview.verdict
    assert verdict is not None
    assert (verdict["model_version"], verdict["passed"], verdict["metric"]) == (1, True, "rmse")
    assert (verdict["champion"], verdict["challenger"] < 0.1 < verdict["baseline"]) == (None, True)


def test_overview_defaults_to_the_last_day(scored):
    overview = day(scored, None)
    assert (str(overview.date), overview.serving, overview.error, overview.level) == (
        "2021-01-21",
        None,
        None,
        None,
    )
    assert overview.rows["bronze"] == 24


def test_overview_without_tables_is_nothing_to_do(workbench):
    with pytest.raises(NothingToDo, match="rides has no tables under"):
        read_overview(workbench.places.lake, "rides")


def test_table_with_damaged_log_is_unavailable(scored, tmp_path):
    log = tmp_path / "rides" / "bronze" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no json")
    with pytest.raises(
        Unavailable, match=r"the tables of rides under .* cannot be read without Spark"
    ):
        read_overview(str(tmp_path), "rides")


def test_report_page_needs_no_network(scored):
    summary = scored.run("report_day", "rides", DAY)
    assert summary.details.rows["predictions"] == 24
    assert summary.mlflow.artifact == f"reports/{DAY}.html"
    page = read_page(scored, summary)
    assert "rides on 2021-01-17" in page
    assert "Champion is version 1, trained up to 2021-01-14." in page
    assert page.count("<svg") == 2
    assert not re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page), (
        "it would need a network"
    )


def test_page_of_unscored_day_states_it(scored):
    summary = scored.run("report_day", "rides", "2021-01-21")
    page = read_page(scored, summary)
    assert "Nothing was monitored on this date." in page
    assert re.search(r"<td>silver</td><td class=\"n\">24</td>", page)
    assert re.search(r"<td>predictions</td><td class=\"n\">none</td>", page)
    with pytest.raises(NothingToDo, match="taxi has no tables"):
        scored.run("report_day", "taxi", DAY)


def test_status_prints_every_pipeline(scored, monkeypatch, capsys):
    monkeypatch.setenv("BATCHML_CONF", str(scored.conf))
    monkeypatch.setenv("BATCHML_LAKE", scored.places.lake)
    assert status.main(["--end", DAY]) == 0
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if "│ rides" in line)
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[:5] == ["rides", DAY, "24", "0.0%", "ok"]
    assert re.fullmatch(r"rmse 0\.\d+ \(0\.\d+\)", cells[5])
    assert cells[6:] == ["version 1", "2021-01-14, 3 days before", "version 1 passed"]
    assert "taxi has no tables" in printed
    assert status.main(["--pipeline", "rids"]) == 4
