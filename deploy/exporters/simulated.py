"""Files for the simulated device: the operators' keys, nothing else."""

import json

from deploy.artefact import Subject
from deploy.chains.programs import program_operators
from deploy.exporters.base import Draft


class SimulatedExporter:
    """Writes what the simulated device needs to know its truth."""

    def build(self, subject: Subject) -> Draft:
        """Never fails, and is exact by definition."""
        keys = [operator.key for operator in program_operators(subject)]
        return Draft(content=json.dumps(keys).encode(), relative_error=0.0)
