"""Tables of docs/pipelines.md."""

import pytest

from batchml.config import conf_folder, pipeline_names
from batchml.models.estimators import ESTIMATORS
from batchml.rows.features import FEATURES
from batchml.sources import SOURCES


@pytest.mark.parametrize(
    ("heading", "names"), [("source", SOURCES), ("feature", FEATURES), ("estimator", ESTIMATORS)]
)
def test_page_lists_every_kind(heading: str, names: dict[str, object]):
    text = (conf_folder().parent / "docs" / "pipelines.md").read_text()
    (table,) = (part for part in text.split("\n\n") if part.startswith(f"| {heading} |"))
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert [name.strip(" `") for cell in first for name in cell.split(",")] == list(names)


def test_page_lists_every_pipeline():
    text = (conf_folder().parent / "docs" / "pipelines.md").read_text()
    (table,) = (part for part in text.split("\n\n") if part.startswith("| | task | source |"))
    assert sorted(line.split("`")[1] for line in table.splitlines()[2:]) == pipeline_names(
        conf_folder()
    )
