"""`python -m deploy` as a user meets it, mostly on the simulated device."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("torch", reason="deploy exports with torch")

import torch

from deploy import build
from deploy.cli import main
from deploy.network import seeded_network
from deploy.verification.options import split_formats
from search.architecture import Architecture, read_architecture, write_architecture
from search.operators.spec import parse_key
from search.spaces.registry import make_space
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
MINI = make_space("fbnet-mini")
NET = MINI.architecture(["k3_e3"] * len(MINI.layers), "My net")
# Small enough to be exported in a moment; takes the digits' images.
TINY = Architecture(
    name="tiny",
    operators=tuple(
        map(
            parse_key,
            (
                "conv_k3_g1_relu_i3_o8_h8_w8_s2_b1_fp32",
                "ir_k3_e3_m24_g1_relu_i8_o8_h4_w4_s1_r1_p1_b1_fp32",
                "classifier_i8_o10_h4_w4_b1_fp32",
            ),
        )
    ),
)


class Finished(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """Runs the command in this process, in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, *words: str) -> Finished:
        terminated = signal.getsignal(signal.SIGTERM)
        self._capture.readouterr()
        code: object = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["deploy", *words])
            patch.chdir(self.folder)
            try:
                main()
            except SystemExit as end:
                code = end.code
            finally:
                signal.signal(signal.SIGTERM, terminated)
        assert isinstance(code, int)
        return Finished(code, *self._capture.readouterr())

    def simulated(self, *words: str) -> Finished:
        return self("net.json", "--device", "simulated", "--fast", *words)


@pytest.fixture
def deploy(tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    write_architecture(NET, tmp_path / "net.json")
    write_architecture(TINY, tmp_path / "tiny.json")
    torch.save(seeded_network(TINY.operators, 7).state_dict(), tmp_path / "tiny.pt")
    return Command(tmp_path, capsys)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds here, where torch is imported already, instead of in new processes."""

    def build_here(todo: list[Any], entry: Any, workers: int) -> Any:
        for subject in todo:
            yield build._result(partial(build.build_one, subject, entry), subject)

    monkeypatch.setattr(build, "_build_parallel", build_here)


# --- on a device


def test_a_network_is_timed_on_the_device_and_the_answer_fits_80_columns(deploy: Command) -> None:
    done = deploy.simulated("--target-ms", "100")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("My net fp32 at 32 px, ")
    assert any("seeded, not trained" in line for line in lines)
    assert any("** SIMULATED **" in line for line in lines)
    assert any(line.split()[0] == "measured" for line in lines)
    assert "  target      100.000 ms: met" in lines


def test_a_missed_target_ends_with_exit_code_1(deploy: Command) -> None:
    done = deploy.simulated("--target-ms", "0.001", "--quiet")
    assert done.code == 1
    assert "MISSED" in done.out
    assert "PROBLEM     the target is missed" in done.out
    assert done.err == ""


def test_json_and_csv_are_data_alone(deploy: Command) -> None:
    found = json.loads(deploy.simulated("--format", "json").out)
    assert found["network"]["name"] == "My net"
    assert found["proof"]["source"] == "simulated"
    assert found["proof"]["latency"]["stable"] is True
    assert found["problems"] == []
    (row,) = csv.DictReader(io.StringIO(deploy.simulated("--format", "csv").out))
    assert row["network"] == "My net"
    assert float(row["measured_us"]) > 0
    assert row["predicted_us"] == ""


@pytest.mark.parametrize(
    ("words", "formats"),
    [
        ((None, "table", None), (None, "table")),
        ((None, "json", None), (None, "json")),
        (("onnx", "csv", None), ("onnx", "csv")),
        ((None, "onnx", None), ("onnx", "table")),
        ((None, "pte", "json"), ("pte", "json")),
        ((None, "table", "csv"), (None, "csv")),
    ],
)
def test_both_spellings_of_file_format_and_output_format_are_taken(
    words: tuple[Any, str, Any], formats: tuple[Any, str]
) -> None:
    assert split_formats(*words) == formats


def test_the_older_output_format_prints_the_same(deploy: Command) -> None:
    older, newer = (
        json.loads(deploy.simulated(option, "json").out)["network"]
        for option in ("--output-format", "--format")
    )
    assert older == newer


def test_with_a_folder_everything_is_kept(deploy: Command) -> None:
    done = deploy.simulated("-o", "out/deep", "--dtype", "int8")
    assert done.code == 0, done.err
    folder = deploy.folder / "out" / "deep"
    names = sorted(path.name for path in folder.iterdir())
    file = "my-net-int8.json"
    assert names == [file, f"{file}.architecture.json", f"{file}.deploy.json"]
    assert read_architecture(folder / f"{file}.architecture.json") == NET.with_dtype("int8")
    kept = json.loads((folder / f"{file}.deploy.json").read_text())
    assert kept["artefact"]["file"] == "my-net-int8.json"
    assert kept["artefact"]["weights"] == "seeded"
    assert kept["artefact"]["calibration"] == "noise"
    assert kept["proof"]["latency"]["centre_us"] > 0


def test_two_runs_into_one_folder_keep_a_record_each(deploy: Command) -> None:
    for dtype in ("fp32", "int8"):
        assert deploy.simulated("-o", "out", "--dtype", dtype).code == 0
    records = {path.name for path in (deploy.folder / "out").glob("*.deploy.json")}
    assert records == {"my-net-fp32.json.deploy.json", "my-net-int8.json.deploy.json"}
    for name in records:
        kept = json.loads((deploy.folder / "out" / name).read_text())
        assert name == f"{kept['artefact']['file']}.deploy.json"


def test_a_failed_proof_is_kept_too(deploy: Command) -> None:
    assert deploy.simulated("-o", "out", "--target-ms", "0.001").code == 1
    kept = json.loads((deploy.folder / "out" / "my-net-fp32.json.deploy.json").read_text())
    assert kept["problems"] == ["the target is missed"]


def test_a_published_network_is_taken_by_its_name(deploy: Command) -> None:
    done = deploy("fbnet-96-0.35-1", "--device", "simulated", "--fast", "--quiet")
    assert done.code == 0
    assert done.out.startswith("FBNet-96-0.35-1 fp32 at 96 px")


# --- files alone


@pytest.mark.usefixtures("in_process")
def test_an_export_alone_is_checked_and_needs_no_device(deploy: Command) -> None:
    pytest.importorskip("onnxscript", reason="needs the ONNX exporter")
    words = ("tiny.json", "--format", "onnx", "-o", "out", "--weights", "tiny.pt")
    done = deploy(*words)
    assert done.code == 0, done.err
    assert "off torch" in done.out
    assert (deploy.folder / "out" / "tiny-fp32.onnx").stat().st_size > 0
    kept = json.loads((deploy.folder / "out" / "tiny-fp32.onnx.deploy.json").read_text())
    assert kept["proof"] is None
    assert kept["artefact"]["weights"] == "tiny.pt"
    assert kept["artefact"]["relative_error"] < 1e-4


@pytest.mark.usefixtures("in_process")
def test_a_trained_network_is_proved_on_the_host_with_real_images(deploy: Command) -> None:
    pytest.importorskip("executorch.exir", reason="needs ExecuTorch")
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    words = ("tiny.json", "--device", "host", "--dtype", "int8", "--weights", "tiny.pt")
    done = deploy(
        *words, "--data", "digits", "--images", "90", "--calibration", "16", "--fast", "-o", "out"
    )
    assert done.code in (0, 1), done.err  # a busy machine may leave it unstable
    found = json.loads((deploy.folder / "out" / "tiny-int8.pte.deploy.json").read_text())
    assert all("unstable" in text or "preempted" in text for text in found["problems"])
    numbers = found["proof"]["numbers"]
    assert numbers["images"] == 90
    assert numbers["rms_error"] < 0.2
    assert numbers["agreement"] > 0.8
    assert abs(numbers["device_top1"] - numbers["torch_top1"]) < 0.2
    assert found["artefact"]["calibration"] == "16 images of digits"
    assert "calibrated  on 16 images of digits" in done.out
    assert sorted(path.suffix for path in (deploy.folder / "out").iterdir()) == [
        ".json",
        ".json",
        ".pte",
    ]


# --- wrong use

WRONG: dict[str, tuple[str, str]] = {
    "neither device nor format": ("net.json", "Say where"),
    "a format without a folder": ("net.json --format pte", "needs a folder"),
    "an unknown format": ("net.json --format zip -o out", "Unknown --format 'zip'"),
    "a deployment target nobody knows": (
        "net.json --format pte -o out --deployment-target iOS16",
        "no deployment target",
    ),
    "a dtype that the format has not": ("net.json --format onnx --dtype int8 -o out", "knows fp32"),
    "a backend of another format": (
        "net.json --format onnx --backend xnnpack -o out",
        "reads no onnx",
    ),
    "an unknown network": ("FBNet-Z --device simulated", "Unknown network"),
    "a missing file": ("absent.json --device simulated", "Cannot read"),
    "an unknown device": ("net.json --device toaster", "Unknown device"),
    "an unknown backend": ("net.json --device simulated --backend tflite", "Unknown backend"),
    "an unknown dtype": ("net.json --device simulated --dtype w8", "no exporter for 'w8'"),
    "an unknown data format": ("net.json --device simulated --output-format x", "format 'x'"),
    "an unknown file format": ("net.json --export-format zip -o out", "--export-format 'zip'"),
    "missing weights": ("net.json --device simulated --weights absent.pt", "no weights"),
    "weights of another network": (
        "net.json --device simulated --weights tiny.pt",
        "weights of this network",
    ),
    "weights that are none": (
        "net.json --device simulated --weights net.json",
        "weights of this network",
    ),
    "absent data": ("tiny.json --device simulated --data absent", "There is no data"),
    "data of other classes": (
        "five.json --device simulated --weights five.pt --data digits",
        "tells 5 classes apart",
    ),
    "a folder that is no table": ("net.json --device simulated --table .", "not a table"),
    "a target of nothing": ("net.json --device simulated --target-ms 0", "must be positive"),
    "a target that is no number": ("net.json --device simulated --target-ms nan", "positive"),
    "a target without a device": ("net.json --format pte -o out --target-ms 1", "need a device"),
    "a folder that is a file": ("net.json --device simulated -o net.json", "not a folder"),
    "fast and rigorous": ("net.json --device simulated --fast --rigorous", "exclude each other"),
    "no network": ("--device simulated", "Missing argument"),
}


@pytest.mark.parametrize(("words", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_a_sentence_and_exit_code_2(
    deploy: Command, words: str, sentence: str
) -> None:
    if "digits" in words:
        pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
        operators = (*TINY.operators[:2], parse_key("classifier_i8_o5_h4_w4_b1_fp32"))
        write_architecture(
            Architecture(name="five", operators=operators), deploy.folder / "five.json"
        )
        torch.save(seeded_network(operators).state_dict(), deploy.folder / "five.pt")
    done = deploy(*words.split())
    assert done.code == 2
    assert sentence in done.err
    assert done.out == ""
    assert not (deploy.folder / "out").exists()


def test_a_pickle_in_the_place_of_weights_is_not_executed(deploy: Command) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (deploy.folder / "fired",))

    (deploy.folder / "bomb.pt").write_bytes(pickle.dumps(Bomb(), protocol=2))
    assert deploy.simulated("--weights", "bomb.pt").code == 2
    assert not (deploy.folder / "fired").exists()


def test_a_network_that_the_device_refuses_ends_with_exit_code_3(deploy: Command) -> None:
    text = (ROOT / "device_agents/devices/simulated.toml").read_text()
    key = NET.operators[-1].key
    (deploy.folder / "bad.toml").write_text(f'{text}[options]\nrefuse = "{key}"\n')
    done = deploy("net.json", "--device", "bad.toml", "--fast", "--quiet")
    assert done.code == 3
    assert "refused (simulated)" in done.err


@pytest.mark.usefixtures("in_process")
def test_without_a_phone_it_is_said_what_was_looked_for_and_what_to_do(
    deploy: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = deploy.folder / "bin" / "pymobiledevice3"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = version ] && echo 11.45.0 || echo "[]"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    built: list[object] = []

    def watched(*arguments: object) -> Iterator[object]:
        built.append(arguments)
        return iter(())

    monkeypatch.setattr("deploy.build.build_all", watched)
    done = deploy("tiny.json", "--device", "iphonex", "--fast", "--quiet")
    assert done.code == 3
    assert not built
    assert "pymobiledevice3 sees none; looked for iPhone X (model iPhone10,3" in done.err
    assert "python -m deploy NET --format mlpackage -o FOLDER" in done.err
    assert "Traceback" not in done.err


def test_without_a_device_side_the_way_out_is_named(
    deploy: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.verification import device_side

    monkeypatch.setattr(device_side, "entry_points", lambda group: [])
    done = deploy.simulated()
    assert done.code == 2
    assert "pip install" in done.err
    assert "--export-format" in done.err


def test_two_device_sides_are_refused(deploy: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from deploy.verification import device_side

    points = [EntryPoint(name, "x:y", device_side.GROUP) for name in ("one", "two")]
    monkeypatch.setattr(device_side, "entry_points", lambda group: points)
    done = deploy.simulated()
    assert done.code == 2
    assert "one, two" in done.err


def test_help_imports_no_torch() -> None:
    program = (
        "import sys\nfrom deploy.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print('torch' in sys.modules, 'profiler' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert "--target-ms" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"
