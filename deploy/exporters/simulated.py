"""Exporter of the simulated device: files that list operator keys."""

import json

from deploy.artefact import ExportSpec
from deploy.chains.programs import program_operators
from deploy.exporters.base import ExportedFile


class SimulatedExporter:
    """Writes the keys by which the simulated device finds its true times."""

    def build(self, spec: ExportSpec) -> ExportedFile:
        """The keys as JSON; never fails, and is exact by definition."""
        keys = [operator.key for operator in program_operators(spec)]
        return ExportedFile(content=json.dumps(keys).encode(), relative_error=0.0)
