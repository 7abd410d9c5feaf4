"""`python -m batchml.new` on the address of a file."""

import shutil
from pathlib import Path
from urllib.request import pathname2url

import pytest
from tenacity import wait_none

from batchml.config import conf_folder
from batchml.errors import BadConfig, BadData, Unavailable
from batchml.new.__main__ import main
from tests.support.csv_files import NUMBERS, write
from tests.support.servers import answering, body


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration and a landing folder of the test's own."""
    shutil.copytree(conf_folder(), tmp_path / "conf")
    monkeypatch.setenv("BATCHML_CONF", str(tmp_path / "conf"))
    monkeypatch.setenv("BATCHML_LANDING", str(tmp_path / "landing"))
    return tmp_path


def test_refused_connection_is_unavailable(places, capsys, monkeypatch):
    monkeypatch.setattr("batchml.clients.http.BETWEEN_DOWNLOADS", wait_none())
    arguments = ["--from", "http://127.0.0.1:9/a.csv", "--label", "y"]
    assert main(arguments) == Unavailable.exit_code == 5
    assert "could not be fetched" in capsys.readouterr().out


def test_file_at_an_address_is_downloaded(places, table, capsys):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    with answering({f"/{pathname2url('the table.csv')}": body(table.read_bytes())}) as (url, _):
        assert main(["--from", f"{url}/the%20table.csv", "--label", "y"]) == 0
        assert main(["--from", f"{url}/other.csv", "--label", "y"]) == BadConfig.exit_code
    assert "the server has no such file" in capsys.readouterr().out
    assert (places / "landing" / "the_table.csv").read_bytes() == table.read_bytes()


def test_oversized_download_is_bad_data(places, table, monkeypatch, capsys):
    write(table, {"x": NUMBERS[::-1], "y": NUMBERS})
    monkeypatch.setattr("batchml.new.locate.MAX_BYTES", 100)
    with answering({"/table.csv": body(table.read_bytes())}) as (url, _):
        assert main(["--from", f"{url}/table.csv", "--label", "y"]) == BadData.exit_code
    assert "has more than" in capsys.readouterr().out
