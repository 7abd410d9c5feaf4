"""The page `Map of days` of Airflow's API server: who sees it, and what it shows."""

import datetime as dt
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urljoin

import pytest
from airflow.api_fastapi.app import init_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from batchml.config import conf_folder, load_pipeline
from batchml.config.sources import days_between
from pages.day_map import create_app
from tests.support.lakes import write_lake

ROOT = Path(__file__).resolve().parents[2]
FIRST, LAST = dt.date(2021, 1, 1), dt.date(2021, 1, 10)
PATHS = ("/days", "/days/taxi", "/days/unknown")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_lake(folder, load_pipeline("taxi", conf_folder()), days_between(FIRST, LAST))
    return folder


@pytest.fixture
def app(lake: Path, monkeypatch: pytest.MonkeyPatch):
    """Return the page's application; its DAGs belong to no team."""
    monkeypatch.setenv("BATCHML_LAKE", str(lake / "lake"))
    monkeypatch.setenv("BATCHML_LANDING", str(lake / "landing"))
    monkeypatch.setenv("BATCHML_LINK_MLFLOW", "http://mlflow")
    init_auth_manager()
    with patch("airflow.models.dag.DagModel.get_team_name", return_value=None):
        yield create_app()


@pytest.fixture
def stopped_app(app, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return the application of a lake in which taxi has stood still for three days."""
    last = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=4)
    dates = days_between(last - dt.timedelta(days=2), last)
    write_lake(tmp_path, load_pipeline("taxi", conf_folder()), dates)
    monkeypatch.setenv("BATCHML_LAKE", str(tmp_path / "lake"))
    return app


def client_of(app, role: str) -> TestClient:
    """Return the browser of a user with ``role``."""
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(
        username="someone", role=role
    )
    return TestClient(app)


@pytest.mark.parametrize("path", PATHS)
def test_anonymous_request_gets_401(app, path: str):
    response = TestClient(app).get(path)
    assert response.status_code == 401
    assert "taxi" not in response.text


@pytest.mark.parametrize("path", PATHS)
def test_forged_token_gets_an_error(app, path: str):
    for headers in ({"Authorization": "Bearer x"}, {"Cookie": "_token=x"}):
        response = TestClient(app).get(path, headers=headers)
        assert response.status_code in (401, 403)
        assert "taxi" not in response.text


def test_every_route_requires_a_user(app):
    paths = [getattr(route, "path", "") for route in app.routes]
    assert paths == ["/days", "/days/{dag_id}"]


def test_viewer_sees_all_pipelines(app):
    response = client_of(app, "VIEWER").get("/days?end=2021-01-10")
    assert response.status_code == 200
    assert 'href="days/taxi#2021-01-10"' in response.text


def test_forbidden_pipelines_are_left_out(app):
    manager = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    with patch(f"{manager}.filter_authorized_dag_ids", return_value={"iris"}):
        assert "taxi" not in client_of(app, "VIEWER").get("/days").text


def test_user_without_permission_gets_403(app):
    manager = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    with patch(f"{manager}.is_authorized_dag", return_value=False):
        assert client_of(app, "VIEWER").get("/days/taxi").status_code == 403


def test_pipeline_shows_each_date(app):
    text = client_of(app, "VIEWER").get("/days/taxi?days=10&end=2021-01-10").text
    for date in days_between(FIRST, LAST):
        assert f'<tr id="{date}">' in text
    assert "http://mlflow/#/models/taxi/versions/2" in text


@pytest.mark.parametrize(("path", "root"), [("/days", ".."), ("/days/taxi", "../..")])
def test_addresses_of_airflow_are_relative(app, path: str, root: str):
    # Behind a proxy with TLS the server takes its own scheme for http.
    text = client_of(app, "VIEWER").get(path, headers={"Host": "example.org:9"}).text
    assert f'href="{root}/dags/taxi"' in text
    assert "example.org" not in text
    assert urljoin(f"https://example.org/prefix/batchml{path}", f"{root}/dags/taxi") == (
        "https://example.org/prefix/dags/taxi"
    )


def test_button_calls_airflow_by_a_relative_address(stopped_app):
    text = client_of(stopped_app, "VIEWER").get("/days").text
    assert 'data-api=".." data-page="../dags/taxi" data-dag="taxi"' in text


def test_pipeline_that_stands_still_comes_first(stopped_app):
    text = client_of(stopped_app, "VIEWER").get("/days").text
    first = text.index("<section")
    assert text[first:].startswith('<section class="pipeline urgent" id="taxi">')
    assert '<span class="kind late">late</span> since' in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/days/unknown", 404),
        ("/days/iris", 404),
        ("/days?days=0", 422),
        ("/days?end=x", 422),
        ("/days?end=0001-01-01", 422),
        ("/days/..%2ftaxi", 404),
    ],
)
def test_wrong_address_has_its_status(app, path: str, status: int):
    assert client_of(app, "VIEWER").get(path).status_code == status


def test_page_runs_only_its_own_script(app):
    response = client_of(app, "VIEWER").get("/days")
    policy = response.headers["content-security-policy"]
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert "default-src 'none'" in policy
    assert response.text.count("<script") == response.text.count(f'<script nonce="{nonce}"') == 1


def test_loading_the_plugin_is_light():
    code = (
        "import sys, time, airflow.plugins_manager; before = set(sys.modules); import day_map; "
        "print(sorted({'deltalake', 'pyarrow', 'batchml', 'fastapi'} & set(sys.modules) - before))"
    )
    plugins = ROOT / "dags" / "plugins"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=plugins,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_last_day_is_at_most_today(app):
    text = client_of(app, "VIEWER").get("/days/taxi?days=1&end=9999-12-31").text
    assert f'<tr id="{dt.datetime.now(dt.UTC).date()}">' in text
