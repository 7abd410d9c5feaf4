"""Read ``conf/pipelines/*.yaml`` and ``conf/env/*.yaml`` into their typed forms."""

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batchml.config.messages import did_you_mean, explain
from batchml.config.pipeline import Pipeline
from batchml.config.yaml_text import parse_yaml
from batchml.errors import BadConfig

# The keys of an environment, and the variables that replace them.
VARIABLES = {
    "landing": "BATCHML_LANDING",
    "lake": "BATCHML_LAKE",
    "tracking_uri": "MLFLOW_TRACKING_URI",
    "artifacts": "BATCHML_ARTIFACTS",
}


@dataclass(frozen=True)
class Places:
    """The locations of an environment, as URIs or absolute paths."""

    landing: str
    lake: str
    tracking_uri: str
    artifacts: str

    def tables_of(self, pipeline: str) -> str:
        """Return the folder of a pipeline's tables."""
        return f"{self.lake.rstrip('/')}/{pipeline}"


def conf_folder() -> Path:
    """Return ``$BATCHML_CONF``, or the ``conf`` folder next to ``jobs``."""
    folder = os.environ.get("BATCHML_CONF")
    if folder:
        return Path(folder).resolve()
    return Path(__file__).resolve().parents[3] / "conf"


def default_env() -> str:
    """Return ``$BATCHML_ENV``, which an image sets, or ``local``."""
    return os.environ.get("BATCHML_ENV", "local")


def project_folder() -> Path:
    """Return the folder that relative places in ``conf/env`` start from."""
    return conf_folder().parent


def pipeline_names(conf: Path) -> list[str]:
    """Return the pipelines that have a file, in alphabetical order.

    Hidden files are those of editors and archives.
    """
    files = (conf / "pipelines").glob("*.yaml")
    return sorted(path.stem for path in files if not path.name.startswith("."))


def load_pipeline(name: str, conf: Path, settings: Sequence[str] = ()) -> Pipeline:
    """Return the pipeline ``name``, with ``settings`` (``dotted.key=value``) over its file.

    Raise BadConfig with every discrepancy at once.
    """
    raw = _read_pipeline(name, conf)
    overrides: dict[str, Any] = {}
    for setting in settings:
        _put(overrides, setting)
    raw = _overlay(raw, overrides)
    if raw.setdefault("name", name) != name:
        raise BadConfig(
            f"{_show(name)}: name is {raw['name']!r}, but the file's name is the pipeline's: "
            "leave it out"
        )
    try:
        return Pipeline.model_validate(raw)
    except ValidationError as error:
        raise explain(error, raw, _show(name)) from error


def load_places(env: str, conf: Path, environ: Mapping[str, str]) -> Places:
    """Return the places of environment ``env``. Environment variables replace the file's values."""
    path = conf / "env" / f"{env}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in (conf / "env").glob("*.yaml"))
        raise BadConfig(f"--env {env}: there is no {path}", *did_you_mean(env, known))
    raw = _read_yaml(path, f"conf/env/{env}.yaml")
    keys = {str(key) for key in raw}
    unknown = sorted(keys.symmetric_difference(VARIABLES))
    if unknown:
        raise BadConfig(
            f"conf/env/{env}.yaml: unknown or missing key {unknown[0]!r}",
            f"expected exactly: {', '.join(VARIABLES)}",
        )

    def place(key: str) -> str:
        value = environ.get(VARIABLES[key]) or str(raw[key])
        return _absolute(value, root=conf.parent)

    return Places(
        landing=place("landing"),
        lake=place("lake"),
        tracking_uri=place("tracking_uri"),
        artifacts=place("artifacts"),
    )


def allowed_repositories(conf: Path) -> tuple[str, ...]:
    """Return the repositories that model code may come from, by ``conf/repositories.yaml``."""
    path = conf / "repositories.yaml"
    if not path.is_file():
        return ()
    raw = _parse_yaml(path, "conf/repositories.yaml")
    if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
        raise BadConfig("conf/repositories.yaml: expected a list of addresses")
    return tuple(raw)


def _absolute(place: str, root: Path) -> str:
    """Return ``place`` with a relative path, also one behind ``sqlite:///``, below ``root``."""
    prefix, separator, rest = place.rpartition(":///")
    if separator and prefix == "sqlite":
        if rest.startswith("/"):
            return place
        return f"sqlite:///{(root / rest).resolve()}"
    if "://" in place:
        return place
    return str((root / place).resolve())


def _read_pipeline(name: str, conf: Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    path = conf / "pipelines" / f"{name}.yaml"
    if not path.is_file() and name in pipeline_names(conf):
        raise BadConfig(
            f"{_show(name)} is not a file",
            remedy="remove the folder or broken link of that name, or rename it",
        )
    if not path.is_file():
        where = "--pipeline"
        if seen:
            where = f"{_show(seen[-1])}: extends"
        raise BadConfig(
            f"{where} is {name!r}, but there is no {_show(name)}",
            *did_you_mean(name, pipeline_names(conf)),
        )
    visited = (*seen, name)
    if name in seen:
        raise BadConfig(f"{_show(seen[-1])}: extends goes in a circle: {' -> '.join(visited)}")
    raw = _read_yaml(path, _show(name))
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    base = _read_pipeline(str(parent), conf, visited)
    base.pop("name", None)
    return _overlay(base, raw)


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge ``over`` into ``base``: mappings key by key; any other value replaces the former.

    A mapping of another ``kind`` replaces too, because its parameters differ.
    """
    if "kind" in over and over["kind"] != base.get("kind"):
        return over
    merged = dict(base)
    for key, value in over.items():
        former = merged.get(key)
        if isinstance(value, dict) and isinstance(former, dict):
            merged[key] = _overlay(former, value)
        else:
            merged[key] = value
    return merged


def _put(raw: dict[str, Any], setting: str) -> None:
    dotted, separator, text = setting.partition("=")
    if not separator or not dotted:
        raise BadConfig(f"--set {setting!r} is not of the form dotted.key=value")
    *parents, last = dotted.split(".")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise BadConfig(f"--set {dotted}: {parent!r} has a single value, not keys")
    place[last] = parse_yaml(text, f"--set {dotted}={text}")


def _read_yaml(path: Path, shown: str) -> dict[str, Any]:
    raw = _parse_yaml(path, shown)
    if not isinstance(raw, dict):
        raise BadConfig(f"{shown}: expected a mapping of keys to values")
    return raw


def _parse_yaml(path: Path, shown: str) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadConfig(
            f"{shown}: not text in UTF-8", str(error), remedy="save the file with this encoding"
        ) from error
    except OSError as error:
        raise BadConfig(f"{shown}: cannot be read", str(error)) from error
    return parse_yaml(text, shown)


def _show(name: str) -> str:
    return f"conf/pipelines/{name}.yaml"


def parse_date(text: str, argument: str) -> dt.date:
    """Return the date of a text of the form YYYY-MM-DD."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise BadConfig(
            f"{argument} is {text!r}, which is not a date of the form YYYY-MM-DD"
        ) from error
