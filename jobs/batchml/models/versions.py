"""Choose the version of a model that scores a date. Pure: versions and dates in, a version out."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Versions:
    """The versions that may score. Withdrawn versions are not among them.

    ``promoted`` contains those that have been champion, with the last date of their training.
    ``existing`` contains all of them, and ``champion`` is one of them or None.
    """

    promoted: Mapping[int, dt.date]
    existing: frozenset[int]
    champion: int | None

    def for_date(self, date: dt.date, scored_by: int | None) -> int | None:
        """Return the version that scores ``date``, or None if every one was trained too late.

        ``scored_by`` is the version of the stored predictions of the date. The date keeps it, so
        that a later run cannot replace an honest prediction by one of a model that has seen the
        date. Other dates get the champion, or the version that was champion then.
        """
        if scored_by in self.existing:
            return scored_by
        earlier = {number: end for number, end in self.promoted.items() if end < date}
        if self.champion in earlier:
            return self.champion
        if not earlier:
            return None
        return max(earlier, key=lambda number: (earlier[number], number))

    def without(self, numbers: Collection[int]) -> "Versions":
        """Return the versions other than ``numbers``."""
        promoted = {number: end for number, end in self.promoted.items() if number not in numbers}
        return Versions(promoted, self.existing.difference(numbers), self.champion)


def dates_by_version(assigned: Mapping[dt.date, int]) -> dict[int, list[dt.date]]:
    """Return the dates that each version scores, in order.

    The version of the last date comes last.
    """
    by_version: dict[int, list[dt.date]] = defaultdict(list)
    for date, number in sorted(assigned.items()):
        by_version[number].append(date)
    return dict(sorted(by_version.items(), key=lambda item: item[1][-1]))
