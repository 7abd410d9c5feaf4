"""All samples by their name in a pipeline's YAML, and how they get to their place."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from batchml.config import Pipeline
from batchml.config.sources import FileSource
from batchml.errors import BadConfig
from local.samples import census
from local.samples.bikes import write_bikes
from local.samples.green_taxi import write_green_taxi
from local.samples.iris import write_iris

ProvideRows = Callable[[Pipeline, Path, Console, Mapping[str, str]], None]


@dataclass(frozen=True)
class Sample:
    """A sample: files in the landing folder, or a service, which may need rows first.

    ``write_files`` takes the landing folder and returns a sentence about the files. ``service`` is
    a process of ``local/stack/Procfile``.
    """

    write_files: Callable[[Path], str] | None = None
    service: str | None = None
    provide_rows: ProvideRows | None = None


SAMPLES = {
    "green_taxi": Sample(write_files=write_green_taxi),
    "iris": Sample(write_files=write_iris),
    "bikes": Sample(write_files=write_bikes),
    "samples_api": Sample(service="samples-api"),
    "census": Sample(service="postgres", provide_rows=census.provide),
}


def provide_sample(pipeline: Pipeline, landing: Path, console: Console) -> None:
    """Write the pipeline's sample to ``landing`` unless a file of its source exists."""
    if pipeline.sample is None:
        return

    sample = SAMPLES.get(pipeline.sample, Sample())
    if sample.service is not None:
        return

    source = pipeline.source
    if isinstance(source, FileSource) and any(landing.glob(_any_date(source.path))):
        return

    is_file = isinstance(source, FileSource)
    if sample.write_files is None or not is_file:
        suitable = [name for name, each in SAMPLES.items() if is_file or each.service is not None]
        raise BadConfig(
            f"conf/pipelines/{pipeline.name}.yaml: sample is {pipeline.sample!r}",
            f"expected one of: {', '.join(suitable)}",
        )

    landing.mkdir(parents=True, exist_ok=True)
    console.print(f"sample {sample.write_files(landing)}")


def _any_date(path: str) -> str:
    """Return the pattern of a source's files, of any month or day."""
    for placeholder in ("{yyyy}", "{MM}", "{dd}"):
        path = path.replace(placeholder, "*")
    return path


def provide_rows(
    pipeline: Pipeline, landing: Path, console: Console, environ: Mapping[str, str]
) -> None:
    """Insert the pipeline's sample into its database, which must be up, unless it has rows."""
    sample = SAMPLES.get(pipeline.sample or "", Sample())
    if sample.provide_rows is not None:
        sample.provide_rows(pipeline, landing, console, environ)


def services_of(pipelines: Iterable[Pipeline]) -> list[str]:
    """Return the processes of ``local/stack/Procfile`` that the samples of ``pipelines`` need."""
    services = {SAMPLES.get(pipeline.sample or "", Sample()).service for pipeline in pipelines}
    return sorted(service for service in services if service is not None)
