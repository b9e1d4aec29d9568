"""Images for calibration and comparison: fair, repeatable, and torch's answers beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="images are torch's")

import torch

from deploy.artefact import ExportSpec
from deploy.network import seeded_network
from deploy.verification import images as module
from deploy.verification.images import calibration_images, evaluation, open_images, reference
from search.architecture import Architecture
from search.data.base import IMAGENET, Data
from search.data.preprocessing import (
    Preparation,
    preparation_path,
    read_preparation,
    write_preparation,
)
from search.errors import UsageError
from search.operators.spec import parse_key

OPERATORS = tuple(
    map(
        parse_key,
        (
            "conv_k3_g1_relu_i3_o8_h8_w8_s2_b1_fp32",
            "classifier_i8_o4_h4_w4_b1_fp32",
        ),
    )
)
TEN = (OPERATORS[0], parse_key("classifier_i8_o10_h4_w4_b1_fp32"))
SUBJECT = ExportSpec(name="small", operators=OPERATORS)


class Numbered:
    """Image i holds the number i; labels are as given."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Any, generator: Any) -> Any:
        assert generator is None
        images = indices.float()[:, None, None, None].expand(-1, 3, 8, 8).contiguous()
        return images, self.labels[indices]


def data(train: list[int], test: list[int]) -> Data:
    return Data(
        name="numbers",
        classes=("a", "b", "c", "d"),
        resolution=8,
        train=Numbered(train),
        test=Numbered(test),
        normalisation=IMAGENET,
    )


def test_calibration_images_are_fair_to_all_classes_and_depend_on_the_seed_alone() -> None:
    skewed = data([0] * 50 + [1] * 5 + [2] * 5 + [3] * 5, [0])
    chosen = [calibration_images(skewed, 12, seed)[:, 0, 0, 0].int().tolist() for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(set(chosen[0])) == 12
    labels = torch.tensor(skewed.train.labels.tolist())[chosen[0]]
    assert torch.bincount(labels).tolist() == [3, 3, 3, 3]
    assert len(calibration_images(skewed, 1000, 0)) == 65


@pytest.mark.parametrize("most", [None, 7])
def test_every_image_comes_once_with_the_outputs_of_torch(
    monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    monkeypatch.setattr(module, "_CHUNK_IMAGES", 3)
    found = evaluation(SUBJECT, data([0], [0, 1, 2, 3] * 3), most=most, trained=True, seed=1)
    chunks = list(found.chunks())
    numbers = np.concatenate([chunk.images[:, 0, 0, 0] for chunk in chunks])
    assert len(numbers) == len(set(numbers)) == len(found) == (most or 12)
    assert max(len(chunk.images) for chunk in chunks) == 3
    network = seeded_network(OPERATORS)
    for chunk in chunks:
        with torch.no_grad():
            expected = network(torch.from_numpy(chunk.images)).numpy()
        np.testing.assert_array_equal(chunk.expected, expected)
        assert chunk.labels is not None
        np.testing.assert_array_equal(chunk.labels, chunk.images[:, 0, 0, 0].astype(int) % 4)


def test_labels_count_only_for_trained_weights() -> None:
    found = evaluation(SUBJECT, data([0], [0, 1]), most=None, trained=False, seed=0)
    assert all(chunk.labels is None for chunk in found.chunks())


def test_without_data_images_are_noise_that_is_the_same_each_time() -> None:
    made = [
        list(evaluation(SUBJECT, None, most=5, trained=False, seed=0).chunks()) for _ in range(2)
    ]
    np.testing.assert_array_equal(made[0][0].images, made[1][0].images)
    assert made[0][0].images.shape == (5, 3, 8, 8)
    assert len(np.unique(made[0][0].images)) > 900


def test_a_chunk_holds_no_more_bytes_than_a_file_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", 2 * 4 * 3 * 8 * 8)
    found = evaluation(SUBJECT, None, most=5, trained=False, seed=0)
    assert [len(chunk.images) for chunk in found.chunks()] == [2, 2, 1]


def test_the_reference_has_the_weights_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    trained = seeded_network(OPERATORS, 5)
    torch.save(trained.state_dict(), path)
    loaded = reference(ExportSpec(name="small", operators=OPERATORS, weights=path))
    x = torch.ones(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded(x), trained(x))
        assert not torch.equal(loaded(x), reference(SUBJECT)(x))


def test_data_of_other_classes_is_refused_for_trained_weights_only(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    four = Architecture(name="four", operators=OPERATORS)
    with pytest.raises(UsageError, match="tells 4 classes apart, digits has 10"):
        open_images("digits", four, weights=tmp_path / "weights.pt", seed=0)
    assert open_images("digits", four, weights=None, seed=0).resolution == 8


def test_images_are_scaled_as_the_note_beside_the_weights_says(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    ten = Architecture(name="ten", operators=TEN)
    weights = tmp_path / "weights.pt"
    plain = open_images("digits", ten, weights=weights, seed=0)
    note = Preparation(
        data="digits",
        classes=plain.classes,
        resolution=8,
        mean=(0.25, 0.5, 0.75),
        std=(0.5, 0.25, 0.125),
    )
    write_preparation(note, weights)
    scaled = open_images("digits", ten, weights=weights, seed=0)
    assert (scaled.normalisation.mean, scaled.normalisation.std) == (note.mean, note.std)
    pixels = plain.test.batch(torch.tensor([0]), None)[0][0]
    as_is = pixels * torch.tensor(plain.normalisation.std).view(3, 1, 1)
    as_is += torch.tensor(plain.normalisation.mean).view(3, 1, 1)
    wanted = (as_is - torch.tensor(note.mean).view(3, 1, 1)) / torch.tensor(note.std).view(3, 1, 1)
    torch.testing.assert_close(scaled.test.batch(torch.tensor([0]), None)[0][0], wanted)


def test_weights_of_other_classes_than_the_data_s_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    ten = Architecture(name="ten", operators=TEN)
    weights = tmp_path / "weights.pt"
    note = Preparation(
        data="letters", classes=tuple("abcdefghij"), resolution=8, mean=(0, 0, 0), std=(1, 1, 1)
    )
    write_preparation(note, weights)
    with pytest.raises(UsageError, match="was trained on letters"):
        open_images("digits", ten, weights=weights, seed=0)


def test_a_damaged_note_is_refused(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    for text in ("{", "[]", '{"schema_version": 2}', '{"schema_version": 1}', "\x00"):
        preparation_path(weights).write_text(text)
        with pytest.raises(UsageError):
            read_preparation(weights)
