"""The second journey: from a folder of images to files for an app, as a researcher goes.

python -m tests.journeys.researcher [--data IMAGES] [--keep]
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw

from tests.journeys.terminal import Desk, travel

SHAPES = ("circle", "square", "triangle")
_SIDE, _TRAIN, _TEST = 48, 120, 40


def draw(folder: Path, train: int = _TRAIN, test: int = _TEST) -> Path:
    """Photographs of three shapes as people have them: splits, stray files, one broken file.

    `train` and `test` count those of a class.
    """
    draws = random.Random(0)
    for split, number in (("train", train), ("valid", test)):
        for shape in SHAPES:
            place = folder / split / shape
            place.mkdir(parents=True)
            for index in range(number):
                _shape(shape, draws).save(place / f"IMG_{index:04}.jpg")
    (folder / "train" / "circle" / "IMG_9999.jpg").write_bytes(b"\xff\xd8\xff half a photo")
    (folder / "train" / "circle" / "notes.txt").write_text("taken in the kitchen\n")
    return folder


def _shape(name: str, draws: random.Random) -> Image.Image:
    ground, ink = ([draws.randrange(256) for _ in range(3)] for _ in range(2))
    image = Image.new("RGB", (_SIDE, _SIDE + 10), (ground[0], ground[1], ground[2]))
    pen, size = ImageDraw.Draw(image), draws.randrange(16, 30)
    left, top = draws.randrange(_SIDE - size), draws.randrange(_SIDE + 10 - size)
    box = (left, top, left + size, top + size)
    colour = (ink[0], ink[1], 255 - ground[2])
    if name == "circle":
        pen.ellipse(box, fill=colour)
    elif name == "square":
        pen.rectangle(box, fill=colour)
    else:
        corners = [(left, top + size), (left + size, top + size), (left + size // 2, top)]
        pen.polygon(corners, fill=colour)
    return image


def journey(desk: Desk, folder: Path, data: Path) -> Iterator[str]:
    """Everything from looking at the images to the app's files; what a user would stumble over."""
    tables, net = folder / "tables", folder / "net.json"
    weights, images = ("--weights", str(net.with_suffix(".pt"))), ("--data", str(data))
    if not desk.kit("search", "images", str(data)):
        return
    classes = str(len([path for path in (data / "train").iterdir() if path.is_dir()]))
    space = ("--space", "fbnet-mini", "--classes", classes)
    desk.kit("profiler", "--device", "host", *space, "-o", str(tables), expected=(0, 1))
    table = next((str(path.parent) for path in tables.glob("*/*/manifest.json")), None)
    if table is None:
        yield "no table was measured"
        return
    of_table = ("--table", table, "--allow-unexamined")
    if not desk.kit(
        "search", *of_table, "--target-share", "0.25", *images, "--retrain", "-o", str(net)
    ):
        return
    result = json.loads((folder / "net.result.json").read_text())
    if not result.get("trained"):
        yield "the result does not say how well the trained network does"
    desk.kit("search", "evaluate", str(net), *weights, *images)
    desk.kit("search", "plot", str(folder / "net.run"))
    scores = ("--scores", str(folder / "net.run" / "scores.json"))
    desk.kit("search", "front", *of_table, *scores, "-o", str(folder / "front"))
    target = str(result["target_us"] / 1000)
    of_run = ("--supernet", str(folder / "net.run"), "--target-ms", target, *images)
    desk.kit("search", "specialise", *of_run, *of_table, "-o", str(folder / "specialised"))
    app = folder / "app"
    on_host = (str(net), *weights, *images, "--device", "host", "--table", table)
    if desk.kit("deploy", *on_host, "--bundle", str(app), "--licence", "MIT"):
        yield from _use(desk, app, data)
    for words in (("--export-format", "onnx"), ("--dtype", "int8", "--export-format", "pte")):
        desk.kit("deploy", str(net), *weights, *images, *words, "-o", str(folder / "files"))


def _use(desk: Desk, app: Path, data: Path) -> Iterator[str]:
    """What an app's programmer does with the bundle."""
    for name in ("bundle.json", "labels.txt", "README.md", "sample.py", "Sample.kt"):
        if not (app / name).is_file():
            yield f"the bundle lacks {name}"
    named, images = 0, _images(data)
    for image in images:
        if desk.run([sys.executable, "sample.py", str(image)], app):
            scores = re.findall(r"^ *-?\d+\.\d{3} +(.+?)\r?$", desk.steps[-1].plain(), re.M)
            named += scores[:1] == [image.parent.name]
    # The network found names nine of ten; inputs that are laid out wrongly give one of three.
    if named < 0.6 * len(images):
        yield f"the sample names the class of {named} of {len(images)} images"


def _images(data: Path) -> list[Path]:
    """Two test images of each class."""
    classes = sorted(path for path in (data / "valid").iterdir() if path.is_dir())
    return [image for folder in classes for image in sorted(folder.iterdir())[:2]]


def main() -> int:
    """Run the journey; 1 if a user would have stumbled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="train/ and valid/ with class folders")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    asked = parser.parse_args()
    return travel(
        lambda desk, folder: journey(desk, folder, asked.data or draw(folder / "images")),
        keep=asked.keep,
    )


if __name__ == "__main__":
    sys.exit(main())
