"""What every exporter promises, whatever its runtime."""

from typing import ClassVar

import pytest

from deploy.exporters.registry import exporter_entry, make_exporter
from search.errors import ExportError
from tests.contracts.conftest import SPECS, Export, spec_of


class ExporterContract:
    """A subclass names an exporter, its module, and a fault that it must notice."""

    backend: ClassVar[str]
    dtype: ClassVar[str]
    module: ClassVar[str]
    error_limit: ClassVar[float]
    fault: ClassVar[float]

    @pytest.mark.parametrize("name", SPECS)
    def test_the_file_computes_what_torch_does(self, name: str, export: Export) -> None:
        exported = export(self.backend, self.dtype, name)
        assert 0 <= exported.relative_error <= self.error_limit

    def test_weights_are_inside_the_file(self, export: Export) -> None:
        sizes = {
            name: len(export(self.backend, self.dtype, name).content)
            for name in ("empty", "classifier")
        }
        assert 0 < sizes["empty"] < sizes["classifier"] - 64 * 100

    def test_a_file_that_computes_something_else_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = pytest.importorskip(
            self.module, reason=f"the runtime that {self.module} drives is not installed"
        )
        run = module._run
        monkeypatch.setattr(module, "_run", lambda file, x: run(file, x) * self.fault)
        exporter = make_exporter(exporter_entry(self.backend, self.dtype))
        with pytest.raises(ExportError, match="something else than stride: relative error"):
            exporter.build(spec_of("stride", self.dtype))
