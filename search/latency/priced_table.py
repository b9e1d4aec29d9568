"""A table with its space, its latency model and the latencies of its networks."""

from functools import cached_property

from search.costs.base import Costs
from search.errors import MissingOperator
from search.latency.model import LatencyModel
from search.spaces.base import LayeredSpace
from search.spaces.classes import space_with_classes
from search.spaces.registry import parse_space
from search.table.store import Table


class PricedTable:
    """A table and what is derived from it, each built once and only when it is used.

    Args:
        table: The table.
        classes: Of the networks' classifier, in place of the one that the table was made for.
    """

    def __init__(self, table: Table, classes: int | None = None) -> None:
        self.table, self._classes = table, classes

    def with_classes(self, classes: int) -> "PricedTable":
        """The same for networks of that many classes, where the table has their classifier's row.

        Raises:
            UsageError: The space cannot be made for them.
        """
        classifier = space_with_classes(self.space, classes).after[-1]
        try:
            self.table.lookup(classifier)
        except MissingOperator:
            return self
        return PricedTable(self.table, classes)

    @cached_property
    def model(self) -> LatencyModel:
        """The latency model.

        Raises:
            TableError: The calibration cannot be used.
        """
        return LatencyModel(self.table)

    @cached_property
    def space(self) -> LayeredSpace:
        """The space that the table was measured for.

        Raises:
            UsageError: An imported table of networks of no known space.
        """
        space = parse_space(self.table.manifest.space.spec)
        return space if self._classes is None else space_with_classes(space, self._classes)

    @cached_property
    def costs(self) -> Costs:
        """Latencies of the space's networks.

        Raises:
            MissingOperator: An operator of the space has no row.
        """
        return self.model.space_costs(self.space)
