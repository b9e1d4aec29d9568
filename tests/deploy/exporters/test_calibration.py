"""Files quantised on real images, and images that are none."""

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="calibration images are torch's")

import torch

from deploy.artefact import ExportSpec, digest
from deploy.exporters.calibration import calls_of, load_images, save_images
from deploy.exporters.registry import exporter_entry, make_exporter
from deploy.exporters.verify import rms_error
from deploy.network import seeded_network
from search.errors import UsageError
from search.operators.spec import parse_key

KEYS = (
    "conv_k3_g1_relu_i3_o16_h12_w12_s2_b1_{}",
    "ir_k3_e3_m48_g1_relu_i16_o16_h6_w6_s1_r1_p1_b1_{}",
    "classifier_i16_o10_h6_w6_b1_{}",
)


def spec_of(dtype: str = "int8", calibration: Path | None = None) -> ExportSpec:
    operators = tuple(parse_key(key.format(dtype)) for key in KEYS)
    return ExportSpec(name="small", operators=operators, calibration=calibration)


def images(number: int = 8, scale: float = 1.0) -> Any:
    return torch.randn(number, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * scale


def test_images_come_back_as_they_were_saved_and_equal_ones_share_a_file(own_cache: Path) -> None:
    path = save_images(images())
    assert path.is_relative_to(own_cache)
    assert save_images(images()) == path
    assert save_images(images(scale=2.0)) != path
    loaded = load_images(spec_of(calibration=path))
    assert loaded is not None
    assert torch.equal(loaded, images())


def test_the_address_depends_on_the_images_and_only_where_there_are_some(own_cache: Path) -> None:
    plain = digest(spec_of(), "x", {})
    first, second = save_images(images()), save_images(images(scale=2.0))
    addresses = {digest(spec_of(calibration=path), "x", {}) for path in (first, second)}
    assert len({plain, *addresses}) == 3
    moved = first.with_name("moved.npy")
    moved.write_bytes(first.read_bytes())
    assert digest(spec_of(calibration=moved), "x", {}) in addresses


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


WRONG = {
    "of another resolution": saved(np.zeros((4, 3, 10, 10), np.float32)),
    "of another number format": saved(np.zeros((4, 3, 12, 12))),
    "without a batch": saved(np.zeros((3, 12, 12), np.float32)),
    "without any": saved(np.zeros((0, 3, 12, 12), np.float32)),
    "with nan": saved(np.full((4, 3, 12, 12), np.nan, np.float32)),
    "cut short": saved(np.zeros((4, 3, 12, 12), np.float32))[:-9],
    "empty": b"",
    "pickled": saved(np.array([object()]), allow_pickle=True),
    "a bare pickle": pickle.dumps([1]),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_file_of_other_images_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.npy"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="calibration images"):
        load_images(spec_of(calibration=path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calibration images"):
        load_images(spec_of(calibration=tmp_path / "none.npy"))


def test_int8_calibrated_on_the_images_is_closer_on_them(own_cache: Path) -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    from deploy.exporters.executorch import _run

    shown = images(8, scale=6.0)
    calibrated = make_exporter(exporter_entry("xnnpack", "int8")).build(
        spec_of(calibration=save_images(shown))
    )
    blind = make_exporter(exporter_entry("xnnpack", "int8")).build(spec_of())
    network = seeded_network(spec_of().operators)
    unseen = images(9, scale=6.0)[8:]
    with torch.no_grad():
        expected = network(unseen)
    errors = [
        rms_error(_run(exported.content, unseen), expected) for exported in (calibrated, blind)
    ]
    assert errors[0] < 0.1 < errors[1]
    assert calibrated.relative_error < 0.1


def test_fp32_ignores_calibration_but_is_checked_on_it(own_cache: Path) -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")

    small = replace(spec_of("fp32"), calibration=save_images(images(scale=50.0)))
    assert make_exporter(exporter_entry("xnnpack", "fp32")).build(small).relative_error <= 1e-4


@pytest.mark.parametrize(("number", "batch", "calls"), [(8, 1, 8), (8, 4, 2), (5, 4, 2), (2, 5, 1)])
def test_calls_hold_all_images_and_the_last_one_is_filled_up_from_the_first(
    number: int, batch: int, calls: int
) -> None:
    given = images(number)
    made = calls_of(given, batch)
    assert [len(call) for call in made] == [batch] * calls
    every = torch.cat(made)
    assert torch.equal(every[:number], given)
    for place in range(number, len(every)):
        assert torch.equal(every[place], given[(place - number) % number])
