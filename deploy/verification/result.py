"""The result of a deployment, of a network of the kit or of a model of the user's own."""

from dataclasses import dataclass
from pathlib import Path

from deploy.artefact import Artefact
from deploy.models.prepare import OwnModel
from deploy.verification.device_side import VerificationReport
from search.architecture import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployResult:
    """A deployed network: its file, and the report of its device.

    Either `architecture` or `model` says what it is. `file` is None where no folder was
    asked for, `report` where nothing ran on a device.
    """

    artefact: Artefact
    backend: str
    weights: str
    calibration: str
    file: Path | None
    report: VerificationReport | None
    notes: tuple[str, ...] = ()
    architecture: Architecture | None = None
    model: OwnModel | None = None

    @property
    def name(self) -> str:
        """What the network is called."""
        if self.architecture is not None:
            return self.architecture.name
        assert self.model is not None
        return self.model.name

    @property
    def dtype(self) -> str:
        """Number format of the file."""
        if self.architecture is not None:
            return self.architecture.dtype
        assert self.model is not None
        return self.model.dtype

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this deployment is not good enough; empty if it is."""
        return () if self.report is None else self.report.problems


def file_name(name: str, dtype: str, suffix: str) -> str:
    """A file's name: the network's in plain letters, its dtype and its suffix."""
    words = "".join(c if c.isalnum() else " " for c in name.lower()).split()
    return f"{'-'.join(words) or 'network'}-{dtype}{suffix}"
