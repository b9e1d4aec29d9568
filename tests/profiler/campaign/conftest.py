"""Prepared folders without Core ML."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.exporters import registry
from profiler.campaign import prepared_folder


@contextlib.contextmanager
def packages_are_simulated() -> Iterator[None]:
    """Packages of the simulated exporter, written as they are."""

    def as_files(content: bytes, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    entry = registry.exporter_entry("simulated", "fp16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._ENTRIES, ("coreml-cpu_only", "fp16"), entry)
        patch.setattr(prepared_folder, "replace_folder", as_files)
        yield


@pytest.fixture
def simulated_packages() -> Iterator[None]:
    """For tests that ask for it by name."""
    with packages_are_simulated():
        yield
