"""Which phone of a farm measures which item: the same one in every pass that it is there for."""

from collections.abc import Collection


class Assignment:
    """Items and their phones, by number.

    An item belongs to the phone that it was first given to. While that one is away another one
    measures it, at best one that has no items of its own; it goes back to one that
    comes back.

    Attributes:
        moved: Items that were ever measured by another phone than their own.
    """

    def __init__(self) -> None:
        self.moved: set[int] = set()
        self._owners: dict[int, int] = {}

    def spread(self, items: Collection[int], phones: Collection[int]) -> dict[int, int]:
        """The phone of each item, among those that are there."""
        there = sorted(phones)
        for item in items:
            self._owners.setdefault(item, there[item % len(there)])
        spare = [number for number in there if number not in self._owners.values()] or there
        found = {}
        for item in items:
            owner = self._owners[item]
            if owner not in phones:
                self.moved.add(item)
                owner = spare[item % len(spare)]
            found[item] = owner
        return found

    def lacks(self, phones: Collection[int]) -> bool:
        """Whether a phone that has items is away."""
        return not set(self._owners.values()) <= set(phones)
