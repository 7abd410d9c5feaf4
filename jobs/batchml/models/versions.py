"""Choose the version of a model that scores a date, from versions and dates alone."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Versions:
    """The versions that may score, without the withdrawn ones.

    ``promoted`` contains those that have been champion, with the last date of their training.
    ``existing`` contains all of them, and ``champion`` is one of them or None.
    """

    promoted: Mapping[int, dt.date]
    existing: frozenset[int]
    champion: int | None

    def for_date(self, date: dt.date, scored_by: int | None) -> int | None:
        """Return the version that scores ``date``, or None if every one was trained too late.

        ``scored_by`` is the version of the stored predictions of the date. The date keeps it, so
        that a later run cannot replace an out-of-sample prediction by one of a model that has seen
        the date. Other dates get the champion, or the version that was champion then.
        """
        if scored_by in self.existing:
            return scored_by
        earlier = [number for number, end in self.promoted.items() if end < date]
        if self.champion in earlier:
            return self.champion
        if not earlier:
            return None
        return max(earlier, key=self._end_and_number)

    def without(self, numbers: Collection[int]) -> "Versions":
        """Return the versions other than ``numbers``."""
        promoted: dict[int, dt.date] = {}
        for number, end in self.promoted.items():
            if number not in numbers:
                promoted[number] = end
        existing = self.existing.difference(numbers)
        return Versions(promoted, existing, self.champion)

    def _end_and_number(self, number: int) -> tuple[dt.date, int]:
        return self.promoted[number], number


def dates_by_version(version_by_date: Mapping[dt.date, int]) -> dict[int, list[dt.date]]:
    """Return the dates that each version scores, in order.

    The version of the last date comes last.
    """
    by_version: dict[int, list[dt.date]] = defaultdict(list)
    for date, number in sorted(version_by_date.items()):
        by_version[number].append(date)

    def last_date(number: int) -> dt.date:
        return by_version[number][-1]

    return {number: by_version[number] for number in sorted(by_version, key=last_date)}
