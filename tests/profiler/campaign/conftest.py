"""Prepared folders without Core ML."""

from pathlib import Path

import pytest

from deploy.exporters import registry
from profiler.campaign import prepared_folder


@pytest.fixture
def simulated_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of the simulated exporter, written as they are."""

    def as_files(content: bytes, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    entry = registry.exporter_entry("simulated", "fp16")
    monkeypatch.setitem(registry._ENTRIES, ("coreml-cpu_only", "fp16"), entry)
    monkeypatch.setattr(prepared_folder, "replace_folder", as_files)
