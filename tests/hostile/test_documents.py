"""Every file but a table: architectures, scores, traces, results, device files, published tables.

Every damage is shown to every command that reads such a file.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from search.pipeline.result import CandidateRow, SearchResult
from tests.hostile.conftest import SPACE, Commands, Material, refused, tried
from tests.hostile.damage import (
    BYTES,
    DEEP,
    DEEP_OBJECTS,
    JSON,
    LONG,
    NO_NUMBERS,
    Damage,
    with_text,
)
from tests.hostile.watchdog import run

TRACE = {
    "epoch": 0, "phase": "weights", "loss": 2.5, "cross_entropy": 2.5, "accuracy": 0.5,
    "images": 10, "images_per_s": 5.0, "seconds": 2.0, "memory_mb": 7.0, "latency_us": 5.0,
    "progress": {"temperature": 1.0},
}  # fmt: skip
HEADER = {"kind": "trace", "schema_version": 1, "algorithm": "fbnet"}
FRONT = {
    "table": "t", "networks": [{"network": "n", "predicted_ms": 1.0, "low_ms": 0.5, "score": 2.0}]
}  # fmt: skip
DEVICE = (Path(__file__).parents[2] / "device_agents/devices/simulated.toml").read_text()
RECIPE_FILE = Path(__file__).parents[2] / "search/recipes/files/cpu.toml"
RECIPE: dict[str, Damage] = {
    **BYTES,
    "nested ten thousand deep": lambda content: content + f"\n[x]\na = {DEEP}".encode(),
    "a number of thousands of digits": lambda content: content.replace(
        b"batch = 64", f"batch = {LONG}".encode()
    ),
    "no epochs": lambda content: content.replace(b"epochs = 1", b"epochs = -1"),
    "a rate of NaN": lambda content: content.replace(b"rate = 0.1", b"rate = nan"),
    "a rate of infinity": lambda content: content.replace(b"rate = 0.1", b"rate = inf"),
    "batches of a text": lambda content: content.replace(b"batch = 64", b'batch = "many"'),
    "an unknown key": lambda content: content.replace(b"batch = 64", b"batch = 64\nfurther = 1"),
    "a key twice": lambda content: content.replace(b"batch = 64", b"batch = 64\nbatch = 32"),
    "a schema of true": lambda content: content.replace(b"version = 1", b"version = true"),
    "a newer schema": lambda content: content.replace(b"version = 1", b"version = 99"),
}
LINE_LONG = f"threads = {LONG}".encode()
TOML: dict[str, Damage] = {
    **BYTES,
    "nested ten thousand deep": lambda content: content + f"\n[options]\na = {DEEP}".encode(),
    "a number of thousands of digits": lambda content: content.replace(b"threads = 1", LINE_LONG),
    "no threads": lambda content: content.replace(b"threads = 1", b"threads = 0"),
    "threads of NaN": lambda content: content.replace(b"threads = 1", b"threads = nan"),
    "a name that leads elsewhere": lambda content: content.replace(
        b'name = "simulated"', b'name = "../../elsewhere"'
    ),
    "a name of the shell": lambda content: content.replace(
        b'name = "simulated"', b'name = "a; touch owned"'
    ),
    "a key twice": lambda content: content + b"\nthreads = 2\n",
}
YAML: dict[str, Damage] = {
    **BYTES,
    "nested ten thousand deep": lambda _: DEEP.encode(),
    "objects ten thousand deep": lambda _: DEEP_OBJECTS.encode(),
    "NaN": lambda content: content.replace(b"mean: 0.5", b"mean: .nan", 1),
    "infinity": lambda content: content.replace(b"mean: 0.5", b"mean: .inf", 1),
    "a negative time": lambda content: content.replace(b"mean: 0.5", b"mean: -0.5", 1),
    "1e300": lambda content: content.replace(b"mean: 0.5", b"mean: 1.0e+300", 1),
    "thousands of digits": lambda content: content.replace(b"count: 7", f"count: {LONG}".encode()),
    "a key of thousands of digits": lambda content: content.replace(
        b"224x", f"{LONG}x".encode(), 1
    ),
    "an object of Python": lambda _: b"!!python/object/apply:os.system ['touch owned']\n",
    "aliases of aliases": lambda _: _aliases().encode(),
    "a date for a time": lambda content: content.replace(b"mean: 0.5", b"mean: 2001-01-01", 1),
}
CSV: dict[str, Damage] = {
    **BYTES,
    "NaN": lambda content: content.replace(b"0.5", b"nan", 1),
    "1e300": lambda content: content.replace(b"0.5", b"1e300", 1),
    "thousands of digits": lambda content: content.replace(b"H32", f"H{LONG}".encode(), 1),
    "a field beyond all limits": lambda content: content + b'"' + b"x" * 200_000,
}


def _aliases() -> str:
    """A hundred million words in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines) + "\n"


def _net(_: Material) -> bytes:
    network = ["conv_k3_g1_relu_i3_o16_h32_w32_s1_b1_fp32", "classifier_i16_o10_h32_w32_b1_fp32"]
    return json.dumps({"schema_version": 1, "name": "net", "operators": network}).encode()


def _scores(material: Material) -> bytes:
    return Path(material.path("scores.json")).read_bytes()


def _trace(_: Material) -> bytes:
    return (json.dumps(HEADER) + "\n" + json.dumps(TRACE) + "\n").encode()


def _result(_: Material) -> bytes:
    row = CandidateRow(
        origin="argmax", choices=("k3",), predicted_us=5.0, low_us=4.0, high_us=6.0,
        meets_target=True, accuracy=0.5, flops=7, params=8,
    )  # fmt: skip
    return SearchResult(
        architecture="net.json", algorithm="fbnet", chosen=row, candidates=(row,), target_us=5.0,
        probability=None, table_id="t", table="t", device="d", table_source="measured",
        space=SPACE.spec, data="digits", recipe={}, seed=0, seconds=1.5,
    ).model_dump_json().encode()  # fmt: skip


def _net_readers(material: Material, file: str) -> Commands:
    table, page = str(material.table), material.path("page.html")
    return {
        "compare": ("profiler", "compare", file, "--table", table),
        "report": ("profiler", "report", table, "--network", file, "-o", page, "--no-curves"),
        "deploy": ("deploy", file, "--device", "simulated", "--table", table),
        "train": ("search", "train", file, "--data", "digits", "-o", material.path("net.pt")),
        "refine": ("profiler", "refine", table, "--from", file, "--device", "simulated"),
    }


def _score_readers(material: Material, file: str) -> Commands:
    waived = ("--allow-simulated", "--allow-unexamined", "--table", str(material.table))
    out = ("-o", material.path("a.json"), "--target-ms", "5")
    return {
        "front": ("search", "front", "--scores", file, *waived),
        "exact": ("search", "--algorithm", "exact", "--scores", file, *waived, *out),
    }


def _trace_readers(_: Material, file: str) -> Commands:
    return {"plot": ("search", "plot", file, "-o", f"{file}.html")}


def _front_readers(material: Material, file: str) -> Commands:
    page = ("-o", material.path("page.html"), "--no-curves", "--network", material.path("net.json"))
    return {"report": ("profiler", "report", str(material.table), "--front", file, *page)}


def _device_readers(material: Material, file: str) -> Commands:
    net = material.path("net.json")
    return {
        "measure": ("profiler", "--device", file, "--space", "fbnet-mini", "--dry-run"),
        "deploy": ("deploy", net, "--device", file),
        "compare": ("profiler", "compare", net, "--device", file),
        "checkup": ("profiler", "checkup", "--device", file, "--table", str(material.table)),
        "devices": ("profiler", "--device", file, "--records", "nowhere", "--dry-run"),
    }


def _recipe_readers(material: Material, file: str) -> Commands:
    waived = ("--allow-simulated", "--allow-unexamined", "--table", str(material.table))
    return {
        "search": ("search", "--recipe", file, "--algorithm", "fbnet", "--target-ms", "5", *waived,
                   "-o", material.path("a.json")),
        "train": ("search", "train", material.path("net.json"), "--recipe", file,
                  "-o", material.path("none.pt")),
        "sweep": ("search", "sweep", file, "--seeds", "0", "--dry-run", *waived,
                  "--algorithm", "fbnet", "--target-ms", "5"),
    }  # fmt: skip


def _import_readers(name: str) -> Callable[[Material, str], Commands]:
    def readers(material: Material, file: str) -> Commands:
        return {name: ("profiler", "import", name, file, "-o", material.path("imported"))}

    return readers


Readers = Callable[[Material, str], Commands]
KINDS: Mapping[str, tuple[str, Callable[[Material], bytes], Mapping[str, Damage], Readers]] = {
    "architecture": ("given.json", _net, JSON, _net_readers),
    "scores": ("scores-given.json", _scores, JSON, _score_readers),
    "trace": ("trace.jsonl", _trace, BYTES, _trace_readers),
    "front": ("front.json", lambda _: json.dumps(FRONT).encode(), JSON, _front_readers),
    "result": ("net.result.json", _result, JSON, _front_readers),
    "recipe": ("recipe.toml", lambda _: RECIPE_FILE.read_bytes(), RECIPE, _recipe_readers),
    "device": ("given.toml", lambda _: DEVICE.encode(), TOML, _device_readers),
    "proxylessnas": (
        "a.yaml",
        lambda _: b"Conv-input:224x224x3-output:112x112x32:\n  count: 7\n  mean: 0.5\n  var: 0.1\n",
        YAML,
        _import_readers("proxylessnas"),
    ),
    "once-for-all": (
        "b.yaml",
        lambda _: b"Conv-input:224x224x3-output:112x112x32:\n  count: 7\n  mean: 0.5\n  std: 0.1\n",
        YAML,
        _import_readers("once-for-all"),
    ),
    "single-path-nas": (
        "c.json",
        lambda _: b'{"0": {"0": 0.5}, "x": "y"}',
        JSON,
        _import_readers("single-path-nas"),
    ),
    "hw-nas-bench": (
        "d.csv",
        lambda _: (
            b"device,op_key,latency_ms_minus_skip_of_same_slot\n"
            b"pixel3,ConvBlock_H32_W32_Cin16_Cout16_exp1_kernel3_stride1_group1,0.5\n"
        ),
        CSV,
        _import_readers("hw-nas-bench"),
    ),
}
CASES = [(kind, name) for kind, (_, _, damages, _) in KINDS.items() for name in damages]
# Unknown fields of a front are of a later kit and passed over.
# A line cut off at the end of a trace was never whole.
HARMLESS = {("front", "a key that is not known"), ("trace", "cut in the middle")}


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_damaged_document_is_refused_with_a_sentence_that_names_it(
    material: Material, kind: str, name: str
) -> None:
    file, make, damages, readers = KINDS[kind]
    path = Path(material.path(file))
    path.write_bytes(damages[name](make(material)))
    for words in readers(material, str(path)).values():
        ended = run(*words)
        if (kind, name) in HARMLESS:
            assert ended.faults() == [], ended.told
        else:
            # What a recipe says wrongly is named by its key.
            refused(ended, *([] if kind == "recipe" else [path.name]))
    assert not Path("owned").exists()
    assert not Path(material.path("imported")).exists()


@pytest.mark.parametrize("text", [*NO_NUMBERS[:-1], "-1e16"])
@pytest.mark.parametrize("kind", ["trace", "front", "result"])
def test_a_number_of_a_document_that_is_none_is_refused(
    material: Material, kind: str, text: str
) -> None:
    file, make, _, readers = KINDS[kind]
    place: dict[str, tuple[Any, ...]] = {
        "trace": ("loss",), "front": ("networks", 0, "predicted_ms"),
        "result": ("candidates", 0, "predicted_us"),
    }  # fmt: skip
    *before, last = make(material).decode().rstrip("\n").split("\n")
    path = Path(material.path(file))
    path.write_text("\n".join([*before, with_text(json.loads(last), place[kind], text)]) + "\n")
    for words in readers(material, str(path)).values():
        refused(run(*words), path.name)


@pytest.mark.parametrize("kind", ["architecture", "scores", "trace", "front", "result", "device"])
def test_the_whole_document_is_taken(material: Material, kind: str) -> None:
    file, make, _, readers = KINDS[kind]
    path = Path(material.path(file))
    path.write_bytes(make(material))
    ended = tried(*next(iter(readers(material, str(path)).values())))
    assert ended.code == (2 if kind == "architecture" else 0), ended.told
    if kind == "architecture":
        assert "has no row" in ended.err
