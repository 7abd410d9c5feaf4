"""Which version of a model scores which date. Pure: versions and dates in, a version out."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Versions:
    """The versions that may score: none that was withdrawn.

    ``promoted`` has those that have been champion, with the last date of their training.
    ``existing`` has all, ``champion`` is one of them or None.
    """

    promoted: Mapping[int, dt.date]
    existing: frozenset[int]
    champion: int | None

    def for_date(self, date: dt.date, scored_by: int | None) -> int | None:
        """Return the version that scores ``date``; None if every one was trained too late.

        ``scored_by`` is the version that its stored predictions are of. They keep it, so that a
        later run cannot replace an honest prediction by one of a model that has seen the date. Other
        dates get the champion, or the version that was champion then.
        """
        if scored_by in self.existing:
            return scored_by
        champion_end = self.promoted.get(self.champion) if self.champion is not None else None
        if champion_end is not None and champion_end < date:
            return self.champion
        earlier = [(end, number) for number, end in self.promoted.items() if end < date]
        return max(earlier)[1] if earlier else None

    def without(self, numbers: Collection[int]) -> "Versions":
        """Return the versions other than ``numbers``."""
        promoted = {number: end for number, end in self.promoted.items() if number not in numbers}
        return Versions(promoted, self.existing - {*numbers}, self.champion)


def dates_by_version(assigned: Mapping[dt.date, int]) -> dict[int, list[dt.date]]:
    """Return the dates that each version scores, in order; the version of the last date comes last."""
    found: dict[int, list[dt.date]] = defaultdict(list)
    for date, number in sorted(assigned.items()):
        found[number].append(date)
    return dict(sorted(found.items(), key=lambda item: item[1][-1]))
