import datetime as dt

from batchml.models.versions import Versions


def day(number: int) -> dt.date:
    return dt.date(2021, 1, number)


# Versions 1 and 3 were promoted in turn. Version 2 was rejected, and 4 withdrawn.
USABLE = Versions({1: day(10), 3: day(20)}, frozenset({1, 2, 3}), champion=3)


def test_new_date_gets_the_champion():
    assert USABLE.for_date(day(21), scored_by=None) == 3


def test_scored_date_keeps_its_version():
    assert USABLE.for_date(day(25), scored_by=1) == 1
    assert USABLE.for_date(day(5), scored_by=2) == 2


def test_date_of_a_withdrawn_version_is_scored_again():
    assert USABLE.for_date(day(25), scored_by=4) == 3


def test_past_date_gets_the_champion_of_its_time():
    assert USABLE.for_date(day(20), scored_by=None) == 1
    assert USABLE.for_date(day(11), scored_by=None) == 1


def test_date_seen_by_all_versions_gets_none():
    assert USABLE.for_date(day(10), scored_by=None) is None
    assert Versions({}, frozenset(), None).for_date(day(10), None) is None


def test_alias_set_manually_decides():
    manual = Versions({1: day(10), 3: day(20)}, frozenset({1, 3}), champion=1)
    assert manual.for_date(day(25), scored_by=None) == 1
