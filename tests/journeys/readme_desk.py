"""A copy of the checkout in which a README's commands run, with what their reader has."""

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.journeys.researcher import draw
from tests.journeys.terminal import ROOT, environment_of

_TABLES = "tables/host-amd-epyc-f26m2s1-3d4b53/"
_MINI = f"{_TABLES}fbnet-mini-r32-x1-c10-h256-p1-b1-fp32-xnnpack-t1-v1"
_COPY = "tables/another-phone/fbnet-mini-r32-x1-c10-h256-p1-b1-fp32-xnnpack-t1-v1"
_PUBLISHED = ROOT.parent / "shared" / "facts" / "latency_tables" / "proxylessnas_mobile_trim.yaml"
# A model of one's own in the three forms that the READMEs name.
_OWN_MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten(), nn.Linear(8, 10))
    return model.eval(), (torch.zeros(1, 3, 224, 224),)
"""
_MAKE_FILES = """
import shutil, torch
from net import make
model, inputs = make()
torch.export.save(torch.export.export(model, inputs), "model.pt2")
shutil.copy("model.pt2", "mine.pt2")
torch.onnx.export(model, inputs, "model.onnx", input_names=["x"], dynamo=False)
from search.architecture import write_architecture
from search.data.preprocessing import Preparation, write_preparation
from search.operators.modules import build_network
from search.spaces.registry import make_space
from search.training.retrain import write_weights
from pathlib import Path
space = make_space("fbnet-mini", classes=3)
network = space.architecture([layer.choices[0].name for layer in space.layers], "net")
write_architecture(network, Path("net.json"))
write_weights(build_network(network.operators), Path("net.pt"))
write_preparation(Preparation(data="images", classes=("circle", "square", "triangle"),
    resolution=32, mean=(0.5,) * 3, std=(0.3,) * 3), Path("net.pt"))
"""


class Desk:
    """A copy of the checkout, images, models and a phone; removed at its end."""

    def __init__(self, folder: Path, cache: Path | None) -> None:
        self.checkout = folder / "kit"
        self._images = draw(folder / "images", train=48, test=8)
        self.environment = {
            **environment_of(cache or folder / "cache"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.checkout),
        }
        self._copy()
        self._phone = contextlib.ExitStack()
        self._has_phone = False

    def _copy(self) -> None:
        listed = ["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"]
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            target = self.checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy2(ROOT / name, target)
        shutil.copytree(self.checkout / _MINI, self.checkout / _COPY)
        (self.checkout / "net.py").write_text(_OWN_MODEL)
        self._made = self.checkout / "of-the-reader"
        self._made.mkdir()
        (self._made / "net.py").write_text(_OWN_MODEL)
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _MAKE_FILES],
            cwd=self._made,
            env=self.environment,
            check=True,
        )

    def begin(self) -> None:
        """What the reader of a README has at its beginning."""
        for path in self._made.iterdir():
            if path.is_file():
                shutil.copy2(path, self.checkout / path.name)

    def values(self) -> Mapping[str, str]:
        """What stands for the names in a command; what is not there is missing."""
        rehearsals = sorted((self.checkout / "tables").glob("rehearsal-*/*/manifest.json"))
        found = {
            "images": str(self._images),
            "mini": _MINI,
            "mini_copy": _COPY,
            "fp32": f"{_TABLES}fbnet-r224-x1-c1000-h1984-p1-b1-fp32-xnnpack-t1-v1",
            "int8": f"{_TABLES}fbnet-r224-x1-c1000-h1984-p1-b1-int8-xnnpack-t1-v1",
        }
        if rehearsals:
            newest = max(rehearsals, key=lambda path: path.stat().st_mtime)
            found["rehearsal"] = str(newest.parent.relative_to(self.checkout))
        if _PUBLISHED.is_file():
            found["proxylessnas"] = str(_PUBLISHED)
        return found

    def clear(self, words: list[str]) -> None:
        """Remove what the command is to write, as a reader takes another name."""
        for before, name in itertools.pairwise(words):
            if before in ("-o", "--output"):
                path = self.checkout / name
                beside = (".run", ".result.json") if path.suffix == ".json" else ()
                for one in (path, *map(path.with_suffix, beside)):
                    shutil.rmtree(one, ignore_errors=True)
                    with contextlib.suppress(OSError):
                        one.unlink()

    def plug_in(self) -> str:
        """Attach the stand-in of a phone to an adb server of its own; why not, if it cannot."""
        if self._has_phone:
            return ""
        for program in ("adb", "qemu-aarch64-static"):
            if shutil.which(program) is None:
                return f"there is no {program} on this machine"
        words = ["python", "-m", "tests.loopback", "--phone", "pixel-6"]
        said = self._phone.enter_context(self.serving(words, "listening on"))
        address = said.split("listening on")[1].split()[0]
        self.environment["ANDROID_ADB_SERVER_PORT"] = port = str(20000 + os.getpid() % 20000)
        self._phone.callback(self._adb, port, "kill-server")
        self._adb(port, "connect", address)
        self._has_phone = True
        return ""

    def _adb(self, port: str, *words: str) -> None:
        subprocess.run(["adb", "-P", port, *words], env=self.environment, check=True, timeout=60)

    @contextlib.contextmanager
    def serving(self, words: list[str], ready: str, within_s: float = 120) -> Iterator[str]:
        """A program that stays until it is ended; gives what it said until it was ready.

        Raises:
            RuntimeError: It was not ready in time, or left.
        """
        log = self.checkout / "serving.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                words, cwd=self.checkout, env=self.environment, stdout=stream, stderr=stream
            )
        try:
            until = time.monotonic() + within_s
            while not re.search(ready, log.read_text()):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(words)} is not ready: {log.read_text()}")
                time.sleep(0.2)
            time.sleep(0.2)
            yield log.read_text()
        finally:
            process.terminate()  # a shell's background jobs ignore Ctrl-C, and so would this
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Unplug the phone."""
        self._phone.close()
