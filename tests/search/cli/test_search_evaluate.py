"""`search evaluate`: weights judged on images, in every format, and what is refused."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from deploy.network import load_weights, seeded_network
from search.architecture import read_architecture, write_architecture
from search.data.open import open_data
from search.data.preprocessing import read_preparation
from search.spaces.registry import make_space
from search.training.retrain import write_weights
from tests.search.cli.conftest import Searched
from tests.search.cli.runner import Desk, image_folder, is_refusal


def words(searched: Searched, *more: str) -> list[str]:
    """What judges the network that was found and trained."""
    paths = [str(searched.desk.path("arch.json")), "--weights", str(searched.desk.path("arch.pt"))]
    return ["evaluate", *paths, "--data", "digits", "--threads", "1", "--quiet", *more]


def test_trained_weights_are_as_accurate_as_training_said(searched: Searched) -> None:
    trained = json.loads(searched.ended.out)
    ended = searched.desk.call(*words(searched, "--format", "json"))
    assert ended.code == 0, ended.err
    row = json.loads(ended.out)
    assert row["top1"] == pytest.approx(trained["test_top1"], abs=1e-6)
    assert row["top1_low"] < row["top1"] < row["top1_high"]
    assert row["top1"] <= row["top5"]
    assert (row["layout"], row["split"], row["images"], row["classes"]) == ("kit", "test", 359, 10)


def test_the_table_shows_intervals_and_counts_and_csv_the_same(searched: Searched) -> None:
    shown = searched.desk.call(*words(searched))
    assert "359 images" in shown.out
    row = next(
        csv.DictReader(io.StringIO(searched.desk.call(*words(searched, "--format", "csv")).out))
    )
    low, high = float(row["top1_low"]), float(row["top1_high"])
    assert f"top-1  {float(row['top1']):.2%} [{low:.2%}, {high:.2%}]" in shown.out


def test_the_split_and_the_number_of_images_are_chosen(searched: Searched) -> None:
    more = ("--split", "train", "--limit", "50", "--batch", "7", "--format", "json")
    ended = searched.desk.call(*words(searched, *more))
    assert json.loads(ended.out)["images"] == 50


def test_a_checkpoint_of_a_run_is_judged_and_written_as_plain_weights(
    searched: Searched, tmp_path: Path
) -> None:
    desk, out = searched.desk, tmp_path / "plain.pt"
    checkpoint = str(desk.path("arch.run/retrain/last.pt"))
    more = ["--weights", checkpoint, "--output", str(out), "--format", "json"]
    ended = desk.call("evaluate", str(desk.path("arch.json")), *more, "--data", "digits", "-q")
    assert ended.code == 0, ended.err
    network = read_architecture(tmp_path / "plain.json")
    load_weights(seeded_network(network.operators), out, network.operators)
    note = read_preparation(out)
    assert note is not None
    assert note.test_top1 == pytest.approx(json.loads(ended.out)["top1"], abs=1e-6)


# --- preparation of images ---------------------------------------------------


def test_crop_and_resize_decide_what_the_network_sees(desk: Desk) -> None:
    """The middle half is black in one class and white in the other; the margin is the reverse."""
    for label, name in enumerate(("dark", "light")):
        for number in range(5):
            image = Image.new("L", (160, 160), 255 * (1 - label))
            image.paste(255 * label, (40, 40, 120, 120))
            path = desk.path(f"images/val/{name}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            image.convert("RGB").save(path)
            copy = desk.path(f"images/train/{name}/{number}.png")
            copy.parent.mkdir(parents=True, exist_ok=True)
            image.convert("RGB").save(copy)
    whole = open_data(desk.path("images"), resolution=80, resize=80)
    middle = open_data(desk.path("images"), resolution=80, resize=160)
    pixels, labels = middle.test.batch(torch.arange(10), None)
    assert all((p == p[:, :1, :1]).all() for p in pixels)  # one colour: the margin is gone
    assert (pixels[labels == 1].min() > pixels[labels == 0].max()).item()
    pixels, _ = whole.test.batch(torch.arange(10), None)
    assert not (pixels[0] == pixels[0][:, :1, :1]).all()
    small = open_data(desk.path("images"), resolution=16, resize=32)
    pixels, _ = small.test.batch(torch.arange(10), None)
    inner = pixels[:, :, 1:-1, 1:-1]  # resizing mixes a little of the margin into the edge
    assert all((p == p[:, :1, :1]).all() for p in inner)


# --- what is refused ---------------------------------------------------------


def _garbage(path: Path, _: dict[str, torch.Tensor]) -> None:
    path.write_bytes(b"garbage")


def _foreign(path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save({f"layer{n}": t for n, t in enumerate(state.values())}, path)


def _nan(path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save({name: t * float("nan") if t.ndim else t for name, t in state.items()}, path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(_garbage, "is damaged"), (_foreign, "missing (such as"), (_nan, "are NaN")],
)
def test_unfit_weights_are_refused(
    desk: Desk,
    searched: Searched,
    spoil: Callable[[Path, dict[str, torch.Tensor]], None],
    said: str,
) -> None:
    state = torch.load(searched.desk.path("arch.pt"), weights_only=True)
    spoil(desk.path("w.pt"), state)
    net = str(searched.desk.path("arch.json"))
    ended = desk.call("evaluate", net, "-w", str(desk.path("w.pt")), "-q")
    assert is_refusal(ended), ended
    assert said in ended.err
    assert len(ended.err) < 600 + 2 * len(str(desk.folder))
    assert "pickle" not in ended.err.lower()


def test_images_of_other_classes_than_the_weights_are_refused(
    desk: Desk, searched: Searched
) -> None:
    images = image_folder(desk.path("three"), classes=3, each=5)
    ended = desk.call(*words(searched, "--data", str(images)))
    assert is_refusal(ended)
    assert "tell 10 classes apart; three has 3" in ended.err
    ten = image_folder(desk.path("ten"), classes=10, each=5)
    ended = desk.call(*words(searched, "--data", str(ten)))
    assert is_refusal(ended)
    assert "trained on digits; the classes of ten are others" in ended.err


def test_weights_of_other_classes_bring_their_own_classifier(desk: Desk) -> None:
    seven = make_space("fbnet-mini", resolution=16, classes=7)
    network = seven.architecture([layer.choices[0].name for layer in seven.layers], "seven")
    write_weights(seeded_network(network.operators), desk.path("seven.pt"))
    ten = make_space("fbnet-mini", resolution=16)
    usual = ten.architecture([layer.choices[0].name for layer in ten.layers], "ten")
    write_architecture(usual, desk.path("ten.json"))
    images = str(image_folder(desk.path("seven"), classes=7, each=5))
    path, weights = str(desk.path("ten.json")), str(desk.path("seven.pt"))
    ended = desk.call("evaluate", path, "-w", weights, "--data", images, "--format", "json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["classes"] == 7
    assert "a classifier for 7" in " ".join(ended.err.split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--split", "val"], "Unknown --split"),
        (["--resize", "8"], "hold no square"),
        (["--resize", "32"], "no margin"),
        (["--weights", "nowhere.pt"], "no weights at nowhere.pt"),
        (["--output", "net.bin"], "does not end in .pt"),
        (["--crop", "0"], "--crop"),
        (["--format", "yaml"], "table, json, csv"),
    ],
)
def test_wrong_options_are_refused(searched: Searched, more: list[str], said: str) -> None:
    ended = searched.desk.call(*words(searched, *more))
    assert is_refusal(ended), ended
    assert said in ended.err
