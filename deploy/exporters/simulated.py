"""Files for the simulated device: the operators' keys, nothing else."""

import json

from deploy.artefact import ExportSpec
from deploy.chains.programs import program_operators
from deploy.exporters.base import ExportedFile


class SimulatedExporter:
    """Writes what the simulated device needs to know its truth."""

    def build(self, subject: ExportSpec) -> ExportedFile:
        """Never fails, and is exact by definition."""
        keys = [operator.key for operator in program_operators(subject)]
        return ExportedFile(content=json.dumps(keys).encode(), relative_error=0.0)
