"""`python -m batchml.new` on the address of a file."""

from urllib.request import pathname2url

from tenacity import wait_none

from batchml.errors import BadConfig, BadData, Unavailable
from batchml.new.__main__ import main
from tests.support.csv_files import NUMBERS, write
from tests.support.servers import answering, body


def test_refused_connection_is_unavailable(folders, capsys, monkeypatch):
    monkeypatch.setattr("batchml.clients.http.BETWEEN_DOWNLOADS", wait_none())
    arguments = ["--from", "http://127.0.0.1:9/a.csv", "--label", "y"]
    assert main(arguments) == Unavailable.exit_code == 5
    assert "could not be fetched" in capsys.readouterr().out


def test_file_at_an_address_is_downloaded(folders, csv_path, capsys):
    write(csv_path, {"x": NUMBERS[::-1], "y": NUMBERS})
    with answering({f"/{pathname2url('the table.csv')}": body(csv_path.read_bytes())}) as (url, _):
        assert main(["--from", f"{url}/the%20table.csv", "--label", "y"]) == 0
        assert main(["--from", f"{url}/other.csv", "--label", "y"]) == BadConfig.exit_code
    assert "the server has no such file" in capsys.readouterr().out
    assert (folders / "landing" / "the_table.csv").read_bytes() == csv_path.read_bytes()


def test_oversized_download_is_bad_data(folders, csv_path, monkeypatch, capsys):
    write(csv_path, {"x": NUMBERS[::-1], "y": NUMBERS})
    monkeypatch.setattr("batchml.new.locate.MAX_BYTES", 100)
    with answering({"/table.csv": body(csv_path.read_bytes())}) as (url, _):
        assert main(["--from", f"{url}/table.csv", "--label", "y"]) == BadData.exit_code
    assert "has more than" in capsys.readouterr().out
