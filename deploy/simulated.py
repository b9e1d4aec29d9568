"""Files for the simulated device: the operators' keys, nothing else."""

import json

from deploy.artefact import Subject
from deploy.base import Draft
from deploy.chains import chain_operators


class SimulatedExporter:
    """Writes what the simulated device needs to know its truth."""

    def build(self, subject: Subject) -> Draft:
        """Never fails, and is exact by definition."""
        operators = subject.operators
        if subject.copies is not None:
            operators = chain_operators(operators[0], subject.copies)
        keys = [operator.key for operator in operators]
        return Draft(content=json.dumps(keys).encode(), relative_error=0.0)
