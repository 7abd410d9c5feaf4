"""The features that a column depends on, from the configuration alone."""

from batchml.config import conf_folder, load_pipeline
from batchml.config.definitions import column_definition, features_behind

HOUR = "{kind: hour_of_day, of: lpep_pickup_datetime, to: hour}"
BAND = "{kind: bands, of: hour, edges: [6, 12], to: band}"


def taxi(*features: str):
    """Return the taxi pipeline with a declared number and these features only."""
    settings = (
        f"features=[{', '.join(features)}]",
        "label=trip_distance",
        "inputs={numeric: [passenger_count]}",
        "gate.slices=[]",
        "columns.passenger_count=long",
    )
    return load_pipeline("taxi", conf_folder(), settings)


def test_feature_of_a_feature_needs_both():
    both = taxi(HOUR, BAND)
    assert [step.kind for step in features_behind(both, ["band"])] == ["hour_of_day", "bands"]
    assert [step.kind for step in features_behind(both, ["hour"])] == ["hour_of_day"]


def test_declared_column_needs_no_feature():
    assert features_behind(taxi(HOUR), ["trip_distance"]) == ()


def test_definition_changes_with_its_inputs():
    other = HOUR.replace("pickup", "dropoff")
    assert column_definition(taxi(HOUR, BAND), "band") != column_definition(
        taxi(other, BAND), "band"
    )
    assert column_definition(taxi(HOUR, BAND), "band") == column_definition(
        taxi(HOUR, BAND), "band"
    )


def test_definition_changes_with_its_lookup_table():
    lookup = (
        "{kind: lookup, table: zones, of: PULocationID, take: Borough, type: string, to: borough}"
    )
    one = taxi(lookup)
    zones = one.lookups["zones"].model_copy(update={"path": "other.csv"})
    two = one.model_copy(update={"lookups": {"zones": zones}})
    assert column_definition(one, "borough") != column_definition(two, "borough")
