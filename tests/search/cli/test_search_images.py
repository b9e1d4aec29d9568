"""`search images`: what is looked at before a table is measured."""

import csv
import io
import json

import pytest

from tests.search.cli.runner import Desk, image_folder, is_refusal


@pytest.mark.parametrize("output_format", ["table", "json", "csv"])
def test_classes_and_images_are_counted(desk: Desk, output_format: str) -> None:
    root = image_folder(desk.path("three"), classes=3, each=5)
    (root / "class0/broken.png").write_bytes(b"no image")
    ended = desk.call("images", str(root), "--format", output_format)
    assert ended.code == 0, ended.err
    if output_format == "table":
        assert "three: 3 classes, 12 training and 3 test images at 32 px" in ended.out
        assert "broken.png" in ended.out
    elif output_format == "json":
        assert json.loads(ended.out)["class_names"] == ["class0", "class1", "class2"]
    else:
        (row,) = csv.DictReader(io.StringIO(ended.out))
        assert ended.out.splitlines()[-1].split(",")[0] == row["classes"] == "3"


def test_what_is_no_source_is_refused(desk: Desk) -> None:
    ended = desk.call("images", str(desk.path("nowhere")))
    assert is_refusal(ended)
    assert "no data at" in ended.err
