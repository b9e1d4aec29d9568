"""A table with its space, its latency model and the latencies of its networks."""

from functools import cached_property

from search.costs.base import Costs
from search.latency.model import LatencyModel
from search.spaces.base import LayeredSpace
from search.spaces.registry import parse_space
from search.table.store import Table


class PricedTable:
    """A table and what is derived from it, each built once and only when it is used."""

    def __init__(self, table: Table) -> None:
        self.table = table

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
        return parse_space(self.table.manifest.space.spec)

    @cached_property
    def costs(self) -> Costs:
        """Latencies of the space's networks.

        Raises:
            MissingOperator: An operator of the space has no row.
        """
        return self.model.space_costs(self.space)
