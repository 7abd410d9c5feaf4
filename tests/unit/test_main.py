import json
import sys

import pytest

from batchml.main import main


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--end", "2021-02-30"],
            "--end is '2021-02-30', which is not a date of the form YYYY-MM-DD",
        ),
        (
            ["--start", "2021-02-02", "--end", "2021-02-01"],
            "--start 2021-02-02 is after --end 2021-02-01",
        ),
        (
            ["--end", "2021-02-01", "--set", "gate.limt=1"],
            "conf/pipelines/taxi.yaml: unknown key 'gate.limt'",
        ),
        (["--end", "2021-02-01", "--env", "nowhere"], "--env nowhere: there is no"),
    ],
)
def test_wrong_arguments_are_bad_configuration(capsys, arguments: list[str], message: str):
    assert main("ingest", ["--pipeline", "taxi", *arguments]) == 4
    line = last_line(capsys)
    assert line["status"] == "failed"
    assert line["error"]["kind"] == "bad_config"
    assert line["error"]["message"].startswith(message)


def test_last_line_names_the_run(capsys):
    assert main("ingest", ["--pipeline", "nope", "--end", "2021-02-01"]) == 4
    line = last_line(capsys)
    assert {key: line[key] for key in ("job", "pipeline", "start", "end")} == {
        "job": "ingest",
        "pipeline": "nope",
        "start": "2021-02-01",
        "end": "2021-02-01",
    }
    assert line["seconds"]["total"] >= 0


@pytest.mark.parametrize(
    ("job", "arguments", "message"),
    [
        (
            "preflight",
            ["--pipeline", "taxi", "--end", "2021-02-01"],
            "unrecognized arguments: --pipeline taxi",
        ),
        ("ingest", ["--pipeline"], "argument --pipeline: expected one argument"),
        ("ingest", ["--pipeline", "taxi"], "the following arguments are required: --end"),
        (
            "train_model",
            ["--pipeline", "taxi", "--reproduce", "x"],
            "argument --reproduce: invalid int value: 'x'",
        ),
    ],
)
def test_wrong_usage_prints_the_usage(capsys, job: str, arguments: list[str], message: str):
    assert main(job, arguments) == 4
    said = capsys.readouterr()
    error = json.loads(said.out.splitlines()[-1])["error"]
    assert error["message"].startswith(message)
    assert error["remedy"] == f"correct the arguments: {job}.py --help lists them"
    assert said.err.startswith(f"usage: {job}.py")


def test_sys_exit_of_a_library_is_reported(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("batchml.main._run", lambda *_: sys.exit(0))
    assert main("ingest", ["--pipeline", "taxi", "--end", "2021-02-01"]) == 1
    assert (
        last_line(capsys)["error"]["message"]
        == "a library or model code ended the job: sys.exit(0)"
    )


def test_version_0_is_passed_on(monkeypatch: pytest.MonkeyPatch):
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(
        "batchml.main._run", lambda job, arguments, trace: asked.append(arguments.options)
    )
    main("train_model", ["--pipeline", "taxi", "--end", "2021-02-01", "--reproduce", "0"])
    assert asked == [{"reproduce": 0}]


def test_environment_variable_sets_default_env(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BATCHML_ENV", "nowhere")
    assert main("preflight", []) == 4
    assert last_line(capsys)["error"]["message"].startswith("--env nowhere: there is no")
