"""The source `http` on real servers: one that a test defines, and that of the pipeline `line`."""

import datetime as dt
import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests
from pyspark.sql import Row

from batchml.errors import BadConfig, BadData, Missing, PipelineError, Unavailable
from batchml.sources import SOURCES, Extract, Request
from tests.support.servers import answering, body, in_turn, samples_api, trickle

DAY = "2021-01-05"
PATH = f"/rows?day={DAY}"
ROWS = [{"id": 1, "x": 0.5, "seen": "1/5/21"}, {"id": 2, "x": 1.5, "seen": None, "note": "cold"}]
PIPELINE = {
    "description": "readings",
    "source": {
        "kind": "http",
        "address": "${READINGS}/rows?day={yyyy}-{MM}-{dd}",
        "headers": {"Authorization": "Bearer ${READINGS_TOKEN}"},
        "rows": "data.rows",
        "next": "data.next",
        "formats": {"seen": "M/d/yy"},
        "seconds": 1,
        "attempts": 2,
    },
    "columns": {"id": "long", "x": "double", "seen": {"type": "date", "optional": True}},
    "key": ["id"],
    "checks": [{"name": "x_is_positive", "expect": "x > 0"}],
    "max_rejected_share": 0.9,
    "task": "regression",
    "label": "x",
    "inputs": {"numeric": ["id"]},
    "estimator": {"kind": "linear"},
    "gate": {"metric": "rmse", "limit": 1},
}


@pytest.fixture
def bench(workbench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("READINGS_TOKEN", "secret")
    workbench.write_pipeline("readings", PIPELINE)
    return workbench


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """Return a function that starts a server at the pipeline's address."""
    with ExitStack() as running:

        def start(**paths) -> list[str]:
            address, asked = running.enter_context(
                answering({PATH: paths.pop("first"), **paths.pop("others", {})})
            )
            monkeypatch.setenv("READINGS", address)
            return asked

        yield start


def page(rows: list[object], following: object = None) -> str:
    return json.dumps({"data": {"rows": rows, "next": following}})


def failure(bench, *settings: str) -> PipelineError:
    with pytest.raises(PipelineError) as raised:
        bench.run("ingest", "readings", DAY, settings=settings)
    assert "secret" not in str(raised.value)
    assert not bench.context(bench.pipeline("readings"), DAY).lake.exists("bronze")
    return raised.value


def extract(bench, *settings: str) -> Extract:
    """Return what an ingest would store, before it takes its time to write the tables."""
    pipeline = bench.pipeline("readings", *settings)
    date = dt.date.fromisoformat(DAY)
    return SOURCES["http"](Request(bench.spark, pipeline, "", date, date, time.monotonic))


def read(bench, *settings: str) -> list[Row]:
    """Return the rows that an ingest would store, in their order."""
    rows = extract(bench, *settings).frame.collect()
    return sorted(rows, key=lambda row: row["source_row"])


def test_rows_of_all_pages_are_stored(bench, serve):
    asked = serve(
        first=body(page(ROWS, "/rows?page=2")),
        others={"/rows?page=2": body(page([{"id": 3, "x": 2}]))},
    )
    summary = bench.run("ingest", "readings", DAY)
    assert summary.details.rows == {"bronze": 3, "silver": 3, "quarantine": 0}
    assert asked == [PATH, "/rows?page=2"]
    day = dt.date(2021, 1, 5)
    name = "${READINGS}/rows?day=2021-01-05"
    assert bench.rows("readings", "silver") == [
        (day, name, 0, 1, 0.5, day, None),
        (day, name, 1, 2, 1.5, None, '{"note":"cold"}'),
        (day, name, 2, 3, 2.0, None, None),
    ]


def test_misfits_are_quarantined_with_their_text(bench, serve):
    misfits = [
        {"id": 4, "x": "n/a"},
        {"id": 5},
        [6, 7],
        None,
        {"id": 8, "x": 1, "seen": "yesterday"},
    ]
    serve(first=body(page([*ROWS, *misfits])))
    summary = bench.run("ingest", "readings", DAY)
    assert summary.details.rows == {"bronze": 7, "silver": 2, "quarantine": 5}
    assert summary.details.rejected == {
        "x_is_positive": 4,
        "line_is_well_formed": 3,
        "x_fits_double": 1,
        "seen_fits_date": 1,
    }
    kept = (
        bench.table("readings", "quarantine").orderBy("source_row").select("undeclared").collect()
    )
    assert [json.loads(row[0]) for row in kept] == [
        {"x": "n/a"},
        *({"malformed_line": json.dumps(row)} for row in ({"id": "5"}, [6, 7], None)),
        {"seen": "yesterday"},
    ]


def test_csv_pages_follow_the_link_header(bench, serve):
    link = {"Link": '</more>; rel="next"'}
    first, more = body("id;x\n1;0.5\n2;oops\n3;1;2\n", **link), body("x;id;seen\n4.5;4;\n")
    serve(first=first, others={"/more": more})
    csv = ("source.format=csv", "source.delimiter=;")
    summary = bench.run("ingest", "readings", DAY, settings=csv)
    assert summary.details.rows == {"bronze": 4, "silver": 2, "quarantine": 2}
    assert [row[3:6] for row in bench.rows("readings", "silver")] == [
        (1, 0.5, None),
        (4, 4.5, None),
    ]


@pytest.mark.parametrize(
    ("sent", "headers", "place"),
    [
        ("id,x,place\n1,1,Žižkov\n".encode(), {"Content_Type": "text/csv"}, "Žižkov"),
        (
            "id,x,place\n1,1,Køge\n".encode("latin-1"),
            {"Content_Type": "text/csv; charset=ISO-8859-1"},
            "Køge",
        ),
    ],
)
def test_charset_header_overrides_utf_8(
    bench, serve, sent: bytes, headers: dict[str, str], place: str
):
    serve(first=body(sent, **headers))
    rows = read(bench, "source.format=csv", "columns.place=string")
    assert [row["place"] for row in rows] == [place]


def test_server_error_is_retried(bench, serve):
    asked = serve(first=in_turn(body("busy", 500), body(page(ROWS))))
    assert len(read(bench)) == 2
    assert asked == [PATH, PATH]


def test_failing_server_is_unavailable(bench, serve):
    asked = serve(first=body("busy", 503))
    error = failure(bench)
    assert type(error) is Unavailable
    assert str(error).startswith(
        "${READINGS}/rows?day=2021-01-05, page 1: the server responds with 503"
    )
    assert len(asked) == 2


def test_refused_connection_is_unavailable(bench, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("READINGS", f"http://127.0.0.1:{closed.getsockname()[1]}")
        error = failure(bench)
    assert (type(error), error.remedy) == (
        Unavailable,
        "check that the server is up and that this machine can reach it",
    )


def test_endless_response_is_unavailable(bench, serve):
    serve(first=trickle)
    error = failure(bench, "source.seconds=0.5")
    assert type(error) is Unavailable
    assert "the response has not ended after 0.5 s" in str(error)


def test_interrupted_response_is_retried(bench, serve):
    whole = page(ROWS)
    asked = serve(first=in_turn(body(whole[:20], Content_Length=str(len(whole))), body(whole)))
    assert len(read(bench)) == 2
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("first", "settings", "kind", "said"),
    [
        (body(page([], PATH)), (), BadData, "page 1 links back to page 1"),
        (body(page(ROWS, "/2")), ("source.max_pages=1",), BadData, "there are more than 1 pages"),
        (
            body(" " * 3000),
            ("source.max_megabytes=0.002",),
            BadData,
            "the response is larger than 0.002 MB",
        ),
        (body(page(ROWS, "http://localhost:1/")), (), BadConfig, "page 1 links to another server"),
        (body("<html>"), (), BadData, "the response is not JSON"),
        (
            body('{"data": {}}'),
            (),
            BadData,
            "there is no list at source.rows (data.rows)\n  its keys are: data",
        ),
        (body("", 401), (), BadConfig, "the server responds with 401"),
        (
            body(page(ROWS, {"href": "/secret"})),
            (),
            BadData,
            "source.next (data.next)\n  its keys are: href",
        ),
        (
            body(page(ROWS, 2)),
            (),
            BadData,
            "page 1: there is no address at source.next (data.next)\n  it is a int",
        ),
        (
            body("", 302, Location="http://me:secret@elsewhere/x"),
            (),
            BadConfig,
            "redirects to http://elsewhere\n",
        ),
        (body("", 302, Location="/secret/x"), (), BadConfig, "the server redirects\n"),
        (
            body(page(ROWS, "/gone")),
            (),
            BadData,
            "page 2 is missing (204, 404 or 410), although the page before links to it",
        ),
        (body("id\n1\n"), ("source.format=csv",), BadData, "there is no column x"),
        (body("[" * 100_000), (), BadData, "the response is not JSON"),
        (body(""), (), BadData, "the response is not JSON"),
        (
            body('{"error": "busy"}'),
            ("source.rows=null",),
            BadData,
            "the page is not a list\n  its keys are: error",
        ),
        (
            body(page(ROWS, "http://[bad/")),
            (),
            BadData,
            "the link to the next page is not a web address",
        ),
        (
            body(page(ROWS, "http://127.0.0.1:99999/")),
            (),
            BadData,
            "the link to the next page is not a web address",
        ),
        (body("<html>"), ("source.format=csv",), BadData, "its first line has: <html>"),
        (body(""), ("source.format=csv",), BadData, "there is no column id, x"),
        (
            body(b"id,x\n1,\xff\n"),
            ("source.format=csv",),
            BadData,
            "the response is not CSV in utf-8",
        ),
    ],
)
def test_permanent_failure_is_not_retried(bench, serve, first, settings, kind, said):
    asked = serve(first=first)
    error = failure(bench, *settings)
    assert type(error) is kind
    assert said in str(error)
    assert asked.count(PATH) == 1


def test_missing_page_means_missing_data(bench, serve):
    serve(first=body("", 404))
    assert type(failure(bench)) is Missing


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("READINGS=127.0.0.1:80", "source.address"),
        ("READINGS=http://[secret", "source.address"),
        ("READINGS_TOKEN=secret\n", "source.headers.Authorization"),
        ("READINGS_TOKEN=secret€", "source.headers.Authorization"),
    ],
)
def test_invalid_variable_is_named(bench, serve, monkeypatch, variable: str, place: str):
    serve(first=body(page(ROWS)))
    name, _, value = variable.partition("=")
    monkeypatch.setenv(name, value)
    error = failure(bench)
    assert (type(error), error.message.startswith(place)) == (BadConfig, True)


def test_lone_surrogates_are_read(bench, serve):
    first = '{"id": 1, "x": 1, "\\ud800": {"\\udc00": ["\\ud800"]}}'
    second = '{"id": {"\\ud800": 1}}'
    rows = f'{{"data": {{"rows": [{first}, {second}]}}}}'
    serve(first=body(rows))
    assert bench.run("ingest", "readings", DAY).details.rows == {
        "bronze": 2,
        "silver": 1,
        "quarantine": 1,
    }


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_json_in_another_encoding_is_read(bench, serve, encoding: str):
    text = page([{"id": 1, "x": 1, "place": "Køge"}])
    text = json.dumps(json.loads(text), ensure_ascii=False)
    serve(first=body(text.encode(encoding), Content_Type=f"application/json; charset={encoding}"))
    assert [row["undeclared"] for row in read(bench)] == ['{"place":"Køge"}']


def test_unset_variable_is_named(bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("READINGS", raising=False)
    error = failure(bench)
    assert type(error) is BadConfig
    assert error.message == "source.address: READINGS is not set, or empty"


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with samples_api() as address:
        yield address


def test_page_size_does_not_change_samples(api: str):
    def get(**params: object) -> dict:
        return requests.get(f"{api}/samples", params={"date": DAY, **params}, timeout=10).json()

    whole = get(n=50, noise=0)
    first = get(n=50, noise=0, size=30)
    rest = requests.get(first["next"], timeout=10).json()
    assert first["samples"] + rest["samples"] == whole["samples"]
    assert (whole["next"], rest["next"]) == (None, None)
    assert get(n=10, noise=0)["samples"] == whole["samples"][:10]
    known = [sample for sample in whole["samples"] if isinstance(sample["y"], float)]
    assert all(sample["y"] == pytest.approx(2 * sample["x"] + 1, abs=1e-5) for sample in known)


def test_samples_api_refuses_invalid_dates(api: str):
    assert "swagger" in requests.get(f"{api}/docs", timeout=10).text
    assert requests.get(f"{api}/samples", params={"date": "soon"}, timeout=10).status_code == 422


def test_line_pipeline_finds_its_coefficients(workbench, api: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BATCHML_SAMPLES_API", api)
    days = ("2021-01-01", "2021-01-03")
    ingested = workbench.run("ingest", "line", *days)
    assert ingested.rows_in == 3000
    assert 0 < ingested.details.rows["quarantine"] < 60
    workbench.run("build_features", "line", *days)
    trained = workbench.run("train_model", "line", days[1])
    tracker = workbench.tracker("line")
    weights = tracker.load_json(tracker.get(trained.mlflow.version), "coefficients.json")
    assert weights == {"intercept": pytest.approx(1, abs=0.02), "x": pytest.approx(2, abs=0.04)}
    metrics = tracker.metrics(trained.mlflow.version)
    assert (metrics["weight_x"], metrics["weight_intercept"]) == (
        weights["x"],
        weights["intercept"],
    )


def numbered(*ids: int, **more: object) -> str:
    return json.dumps({"data": {"rows": [{"id": number, "x": 1} for number in ids]}, **more})


def test_byte_order_mark_is_skipped(bench, serve):
    serve(first=body(b"\xef\xbb\xbf" + page(ROWS).encode()))
    assert len(read(bench)) == 2
    serve(first=body(b"\xef\xbb\xbfid,x\n1,1\n"))
    assert len(read(bench, "source.format=csv")) == 1


def test_whole_number_with_point_is_integer(bench, serve):
    serve(first=body('{"data": {"rows": [{"id": 5.0, "x": 1}, {"id": 6, "x": NaN}]}}'))
    assert [(row["id"], row["x"]) for row in read(bench)] == [(5, 1.0), (6, None)]


def test_link_without_port_is_followed(bench, serve):
    following = "http://127.0.0.1/rows?page=2"
    asked = serve(
        first=body(page(ROWS, following)), others={"/rows?page=2": body(page([{"id": 3, "x": 2}]))}
    )
    assert len(read(bench)) == 3
    assert asked == [PATH, "/rows?page=2"]


@pytest.mark.parametrize(("kind", "first", "second"), [("page", 1, 2), ("offset", 0, 2)])
def test_counted_pages_end_with_an_empty_one(bench, serve, kind: str, first: int, second: int):
    pages = {
        f"{PATH}&at={first}": body(numbered(1, 2)),
        f"{PATH}&at={second}": body(numbered(3, 4)),
        f"{PATH}&at={second + (1 if kind == 'page' else 2)}": body(numbered()),
    }
    asked = serve(first=body("", 500), others=pages)
    paging = ("source.next=null", f"source.paging={{kind: {kind}, parameter: at}}")
    assert len(read(bench, *paging)) == 4
    assert asked == list(pages)


def test_counted_pages_end_at_the_stated_total(bench, serve):
    asked = serve(first=body("", 500), others={f"{PATH}&page=1": body(numbered(1, 2, total=2))})
    paging = (
        "source.next=null",
        "source.paging={kind: page, parameter: page}",
        "source.total=total",
    )
    assert len(read(bench, *paging)) == 2
    assert len(asked) == 1


def test_wrong_total_is_bad_data(bench, serve):
    serve(first=body(numbered(1, 2, total=5)))
    error = failure(bench, "source.next=null", "source.total=total")
    assert type(error) is BadData
    assert "the server states 5 rows (source.total), but 2 were read" in str(error)


def test_ignored_page_parameter_is_detected(bench, serve):
    same = body(numbered(1, 2))
    serve(first=body("", 500), others={f"{PATH}&page={number}": same for number in (1, 2, 3)})
    error = failure(bench, "source.next=null", "source.paging={kind: page, parameter: page}")
    assert "page 2 is the same as the page before" in str(error)


def test_missing_key_suggests_the_nearest(bench, serve):
    serve(first=body(json.dumps({"data": {"rows": [{"ident": 1, "x": 1}]}})))
    assert "column 'id' is missing (declared as long); the nearest is 'ident'" in str(
        failure(bench)
    )


def test_object_keys_ignore_case(bench, serve):
    serve(first=body(json.dumps({"data": {"rows": [{"ID": 1, "X": 1}]}})))
    received = extract(bench)
    assert received.differences != ()
    rows = received.frame.collect()
    assert [(row["id"], row["x"], row["misfits"]) for row in rows] == [(1, 1.0, [])]


COUNTED = ("source.next=null", "source.paging={kind: page, parameter: page}")


def test_repeated_rows_are_detected_despite_page_numbers(bench, serve):
    pages = {f"{PATH}&page={number}": body(numbered(1, 2, page=number)) for number in (1, 2, 3)}
    serve(first=body("", 500), others=pages)
    assert "page 2 is the same as the page before" in str(failure(bench, *COUNTED))


def test_short_page_is_not_the_last_one(bench, serve):
    pages = {
        f"{PATH}&page={number}": body(numbered(*ids))
        for number, ids in ((1, (1, 2)), (2, (3,)), (3, (4, 5)))
    }
    serve(first=body("", 500), others=pages)
    assert len(read(bench, *COUNTED)) == 5


def test_endless_pages_are_refused(bench, serve):
    pages = {f"{PATH}&page={number}": body(numbered(number)) for number in range(1, 9)}
    serve(first=body("", 500), others=pages)
    error = failure(bench, *COUNTED, "source.max_pages=5")
    assert "there are more than 5 pages" in str(error)


def test_total_may_be_a_float(bench, serve):
    pages = {f"{PATH}&page=1": body(numbered(1, 2, total=3.0)), f"{PATH}&page=2": body(numbered(3))}
    asked = serve(first=body("", 500), others=pages)
    assert len(read(bench, *COUNTED, "source.total=total")) == 3
    assert len(asked) == 2


def test_counted_csv_pages_end_with_empty_one(bench, serve):
    pages = {
        f"{PATH}&page=1": body("id,x\n1,1\n"),
        f"{PATH}&page=2": body("id,x\n2,1\n"),
        f"{PATH}&page=3": body(""),
    }
    serve(first=body("", 500), others=pages)
    assert len(read(bench, *COUNTED, "source.format=csv")) == 2


def test_compressed_page_is_read(bench, serve):
    serve(first=body(gzip.compress(page(ROWS).encode()), Content_Encoding="gzip"))
    assert len(read(bench)) == 2


def test_status_204_means_missing_data(bench, serve):
    serve(first=body("", 204))
    assert type(failure(bench)) is Missing
