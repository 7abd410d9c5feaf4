"""The error about a delivery that is missing from the landing folder."""

import pytest

from batchml.clients.landing import no_complete_file
from batchml.config import conf_folder, load_pipeline


@pytest.mark.parametrize(("name", "can_be_fetched"), [("taxi", True), ("bikes", False)])
def test_only_published_months_are_offered(name: str, can_be_fetched: bool):
    error = no_complete_file(
        load_pipeline(name, conf_folder()), "2021-01-01..2021-01-02", ["a", "b"]
    )
    assert str(error).startswith("no file yet for 2021-01-01..2021-01-02: a, b")
    assert (f"make fetch PIPELINE={name}" in str(error.remedy)) is can_be_fetched


def test_missing_marker_is_named():
    settings = ('source.done_marker="{yyyy}-{MM}.done"',)
    error = no_complete_file(load_pipeline("taxi", conf_folder(), settings), "2021-01-01", ["a"])
    assert "without its marker {yyyy}-{MM}.done" in str(error)
