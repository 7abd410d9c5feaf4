"""Trials of edits of a trained pipeline: the difference they find, and production unchanged."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from batchml.commands.plan.__main__ import read_plan
from batchml.commands.trial import text
from batchml.commands.trial.dates import choose_dates, training_settings
from batchml.commands.trial.difference import Counts
from batchml.commands.trial.jobs import RunJob
from batchml.commands.trial.sandbox import open_sandbox
from batchml.commands.trial.trial import Production, Request, Trial, run_trial
from batchml.config import Pipeline
from batchml.errors import NothingToDo, PipelineError, Unavailable
from batchml.job_line import EvaluateModelDetails, JobError, JobLine, Rows
from batchml.lake.table_version import TableVersion
from tests.support.rides import RIDES, aliases
from tests.support.workbench import Workbench, make_workbench

DAYS = 8
TABLES = (
    "bronze",
    "silver",
    "quarantine",
    "deliveries",
    "features",
    "predictions",
    "verdicts",
    "ledger",
    "lease",
)
CHECK = {"checks": [{"name": "is_short", "expect": "miles < 7"}]}
STRICT_CHECK = {"checks": [{"name": "is_short", "expect": "miles < 4"}]}
FEATURE = {"features": [{"kind": "day_of_week", "of": "begin", "to": "hour"}]}
REMOVED_INPUT = {"features": [], "inputs": {"numeric": ["miles"]}}
LABEL = {"label": "miles", "inputs": {"numeric": ["minutes", "hour"]}}


@dataclass(frozen=True)
class Tried:
    """An edited pipeline, its trial, and production before and after it."""

    pipeline: Pipeline
    trial: Trial
    before: dict[str, object]
    after: dict[str, object]

    def printed(self) -> str:
        """Return the sentences about dates and models."""
        return "\n".join((*text.date_sentences(self.trial), *text.model_sentences(self.trial)))


@dataclass(frozen=True)
class StepsAsJobs:
    """Runs jobs as steps in the session of the tests."""

    bench: Workbench
    settings: tuple[str, ...]

    def __call__(self, job, first, last) -> JobLine:
        try:
            summary = self.bench.run(job, "rides", str(first), str(last), settings=self.settings)
        except PipelineError as error:
            status = "nothing_to_do" if isinstance(error, NothingToDo) else "failed"
            message = "\n".join([error.message, *error.details])
            reason = JobError(kind=error.kind, message=message, remedy=error.remedy)
            return JobLine(job=job, status=status, error=reason)
        rows = Rows(read=summary.rows_in, written=summary.rows_out)
        return JobLine(job=job, status="done", rows=rows, details=summary.details)


@dataclass
class SharedIngest:
    """Runs jobs, but ``ingest`` only once for edits that leave its tables the same."""

    copy: Path
    line: JobLine | None = None

    def runner(self, steps: StepsAsJobs) -> RunJob:
        """Return a runner of ``steps`` that copies the tables of the first ingest."""
        lake = Path(steps.bench.places.lake)

        def run_job(job, first, last) -> JobLine:
            if job != "ingest":
                return steps(job, first, last)
            if self.line is None:
                self.line = steps(job, first, last)
                shutil.copytree(lake, self.copy)
                return self.line
            shutil.rmtree(lake)
            shutil.copytree(self.copy, lake)
            return self.line

        return run_job


@pytest.fixture(scope="module")
def production(
    spark,
    empty_mlflow: Path,
    trained_rides: Workbench,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workbench:
    """Return a bench whose champion has scored the days after its training."""
    made = make_workbench(spark, empty_mlflow, tmp_path_factory.mktemp("production"))
    made.copy_of(trained_rides)
    made.run("score_batch", "rides", "2021-01-15", "2021-01-21")
    return made


def state_of(bench: Workbench) -> dict[str, object]:
    """Return the versions of all tables and models, the aliases, and the landed files."""
    folder = bench.places.tables_of("rides")
    state: dict[str, object] = {"aliases": aliases(bench)}
    for name in TABLES:
        state[name] = TableVersion.latest(f"{folder}/{name}")
    versions = bench.tracker("rides").versions()
    state["models"] = {number: dict(version.tags) for number, version in versions.items()}
    state["files"] = sorted(path.stat().st_mtime for path in Path(bench.places.landing).iterdir())
    return state


@dataclass(frozen=True)
class Trials:
    """Makes trials of edits of ``production``. An empty store of MLflow saves creating one."""

    production: Workbench
    empty_mlflow: Path

    def attempt(
        self,
        folder: Path,
        edit: dict[str, object],
        days: int = DAYS,
        ingest: SharedIngest | None = None,
    ) -> Tried:
        """Return the trial of ``edit`` on the last ``days`` of production."""
        production = self.production
        shutil.copytree(production.conf, folder / "conf")
        before = state_of(production)
        with open_sandbox(folder / "sandbox", production.places) as sandbox:
            database = sandbox.places.tracking_uri.removeprefix("sqlite:///")
            shutil.copyfile(self.empty_mlflow, database)
            bench = Workbench(production.spark, sandbox.places, folder / "conf")
            bench.write_pipeline("rides", RIDES | edit)
            pipeline = bench.pipeline("rides")
            read = Production.read(pipeline, production.places)
            dates = choose_dates(read.ledger, pipeline, days)
            settings = training_settings(pipeline, days)
            run_job = StepsAsJobs(bench, settings)
            if ingest is not None:
                run_job = ingest.runner(run_job)
            trial = run_trial(Request(pipeline, dates, read, sandbox, run_job, settings))
        assert not (folder / "sandbox").exists()
        return Tried(pipeline, trial, before, state_of(production))


@pytest.fixture(scope="module")
def trials(production: Workbench, empty_mlflow: Path) -> Trials:
    return Trials(production, empty_mlflow)


@pytest.fixture(scope="module")
def shared_ingest(tmp_path_factory) -> SharedIngest:
    return SharedIngest(tmp_path_factory.mktemp("ingest") / "lake")


@pytest.fixture(scope="module")
def check(trials: Trials, tmp_path_factory) -> Tried:
    return trials.attempt(tmp_path_factory.mktemp("check"), CHECK)


@pytest.fixture(scope="module")
def feature(trials: Trials, shared_ingest: SharedIngest, tmp_path_factory) -> Tried:
    return trials.attempt(tmp_path_factory.mktemp("feature"), FEATURE, ingest=shared_ingest)


@pytest.fixture(scope="module")
def label(trials: Trials, shared_ingest: SharedIngest, tmp_path_factory) -> Tried:
    return trials.attempt(tmp_path_factory.mktemp("label"), LABEL, ingest=shared_ingest)


@pytest.fixture(params=["check", "feature", "label"])
def tried(request: pytest.FixtureRequest) -> Iterator[Tried]:
    return request.getfixturevalue(request.param)


def test_production_is_unchanged(tried):
    assert tried.after == tried.before


def test_plan_answers_on_the_same_edit(tried, production):
    plan = read_plan(tried.pipeline, production.places, None)
    assert plan.champion is not None
    assert plan.has_rebuilds or plan.champion.starts_training


def test_trial_trains_and_evaluates(tried):
    assert [line.status for line in tried.trial.jobs] == ["done"] * len(tried.trial.jobs)
    assert isinstance(tried.trial.jobs[-1].details, EvaluateModelDetails)


def test_rehearsal_states_the_fitted_rows(tried):
    assert "the trial's model was fitted on" in tried.printed()


def test_new_check_quarantines_rows(check):
    difference = check.trial.difference
    moved = difference.reasons["is_short"].after
    assert moved > 0
    assert difference.reasons["is_short"].before == 0
    silver = text.total(difference.rows["silver"])
    assert silver == Counts(24 * DAYS, 24 * DAYS - moved)


def test_new_check_leaves_predictions_of_kept_rows(check):
    predictions = check.trial.difference.predictions
    assert predictions.changed == 0
    assert predictions.rows_after < predictions.rows_before


def test_champion_is_compared_on_the_holdout(check):
    assert "rmse on the same holdout: challenger" in check.printed()
    assert "champion 0." in check.printed()


def test_redefined_feature_is_the_only_difference(feature):
    difference = feature.trial.difference
    names = [(column.table, column.name) for column in difference.columns]
    assert names == [("features", "hour")]
    assert difference.reasons == {}


def test_redefined_feature_changes_predictions(feature):
    predictions = feature.trial.difference.predictions
    assert predictions.dates == 7
    assert predictions.mean_absolute_difference > 1


def test_redefined_feature_prevents_the_comparison(feature):
    assert "the definition of hour has changed" in feature.printed()


def test_champion_cannot_score_a_new_label(label):
    assert label.trial.line_of("score_batch") is None
    assert "champion version 1 cannot score: it predicts minutes" in label.printed()


def test_removed_input_is_computed_for_the_champion(trials, tmp_path):
    removed = trials.attempt(tmp_path, REMOVED_INPUT, days=1)
    predictions = removed.trial.difference.predictions
    assert (predictions.matched, predictions.changed) == (24, 0)
    # A single day is too short to train on, which is a result as well.
    assert removed.trial.exit_code == 0
    assert "too few rows" in str(removed.trial.line_of("train_model").error)


def test_too_strict_check_is_a_result(trials, tmp_path):
    strict = trials.attempt(tmp_path, STRICT_CHECK)
    assert strict.trial.exit_code == 0
    assert strict.trial.difference is None
    assert "is_short" in str(strict.trial.jobs[0].error)
    assert "ingest rejects them (see above): 8 dates, 2021-01-14..2021-01-21" in strict.printed()


def test_missing_delivery_is_stated(trials, tmp_path):
    landing = tmp_path / "landing"
    landing.mkdir()
    places = replace(trials.production.places, landing=str(landing))
    without_files = replace(trials.production, places=places)
    gone = replace(trials, production=without_files).attempt(tmp_path, CHECK)
    assert gone.trial.exit_code == Unavailable.exit_code
    assert "as the delivery is missing now: 8 dates" in gone.printed()
