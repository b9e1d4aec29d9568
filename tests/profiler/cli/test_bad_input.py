"""Wrong use: exit code 2, one clear sentence, nothing written, no traceback."""

import resource
from pathlib import Path

import pytest

from search.table.store import read_table

# What is typed after a good command, and a word that the answer must hold.
MEASURE = {
    "a device that does not exist": (["--device", "pixel9000"], "pixel9000"),
    "a device file that does not exist": (["--device", "nothing.toml"], "nothing.toml"),
    "a space that does not exist": (["--space", "fbnet9"], "fbnet9"),
    "a spec of no known family": (["--space", "mnas-r224-x1"], "mnas-r224-x1"),
    "a spec with a number that is none": (
        ["--space", "fbnet-mini-r32-x1.2.3-c10-h256-p0-b1-fp32"],
        "x1.2.3",
    ),
    "a dtype that does not exist": (["--dtype", "fp17"], "fp17"),
    "a dtype that the backend has not": (["--dtype", "w8"], "w8"),
    "a backend that does not exist": (["--backend", "tflite"], "tflite"),
    "a backend that the device has not": (["--backend", "xnnpack"], "xnnpack"),
    "a runner that does not exist": (["--runner", "perl"], "perl"),
    "a format that does not exist": (["--format", "xml"], "xml"),
    "a filter that matches nothing": (["--filter", "zebra"], "zebra"),
    "a filter that is no expression": (["--filter", "(("], "(("),
    "a resolution that the strides do not divide": (["--resolution", "33"], "33"),
    "a negative resolution": (["--resolution", "-32"], "-32"),
    "no resolution at all": (["--resolution", "0"], "resolution"),
    "no classes": (["--classes", "0"], "classes"),
    "an impossible width": (["--width", "0"], "width"),
    "a width that is no number": (["--width", "nan"], "nan"),
    "no iterations": (["--iterations", "0"], "--iterations"),
    "negative iterations": (["--iterations", "-4"], "--iterations"),
    "no threads": (["--threads", "0"], "--threads"),
    "negative threads": (["--threads", "-1"], "--threads"),
    "no precision": (["--precision", "0"], "precision"),
    "a negative precision": (["--precision", "-5"], "precision"),
    "no warm-up": (["--warmup", "0"], "arm-up"),
    "a negative block time": (["--min-time", "-1"], "--min-time"),
    "a negative time-out": (["--timeout", "-1"], "--timeout"),
    "a time-out that is no number": (["--timeout", "nan"], "--timeout"),
    "a negative rest": (["--cooldown", "-1"], "--cooldown"),
    "negative networks": (["--networks", "-1"], "--networks"),
    "a negative seed": (["--seed", "-1"], "seed"),
    "no parallel builds": (["--jobs", "0"], "--jobs"),
    "an affinity of garbage": (["--affinity", "first two"], "first two"),
    "an affinity of an empty mask": (["--affinity", "mask:0"], "mask:0"),
    "an affinity that goes backwards": (["--affinity", "3-1"], "3-1"),
    "fewer cores than threads": (["--affinity", "0", "--threads", "2"], "2 threads"),
    "a context without an equals sign": (["--context", "roomcold"], "roomcold"),
    "a context without a key": (["--context", "=cold"], "=cold"),
    "both presets": (["--rigorous"], "--rigorous"),
    "resume and restart": (["--resume", "--restart"], "--restart"),
    "an option that does not exist": (["--fasst"], "--fasst"),
    "a number that is none": (["--threads", "two"], "--threads"),
    "a command that does not exist": (["mesure"], "mesure"),
}


def is_one_sentence(text: str) -> bool:
    """Short, ended by a full stop or a list of what is known, and no traceback."""
    return bool(text.strip()) and "Traceback" not in text and len(text.splitlines()) <= 6


def leftovers(bench) -> list[str]:
    """Files that a refused command left (folders for locks are no loss)."""
    return [
        str(path.relative_to(bench.folder))
        for path in sorted(bench.folder.rglob("*"))
        if path.is_file() and path.suffix not in (".toml", ".lock")
    ]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets as far as building has not refused in time."""

    def build_all(*_: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr("deploy.build.build_all", build_all)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("case", MEASURE)
def test_a_measuring_command_with_bad_input_is_refused_with_exit_code_2(bench, case: str) -> None:
    wrong, word = MEASURE[case]
    ended = bench.call(*bench.words(*wrong))
    assert ended.code == 2, (ended.out, ended.err)
    assert word in ended.err
    assert is_one_sentence(ended.err)
    assert ended.out == ""
    assert leftovers(bench) == []
    assert not bench.output.exists()


@pytest.mark.parametrize(
    "case",
    [
        case
        for case, (words, _) in MEASURE.items()
        if not {"--context", "--resume", "mesure", "--jobs", "xnnpack"} & set(words)
    ],
)
def test_a_dry_run_refuses_the_same_bad_input(bench, case: str) -> None:
    wrong, word = MEASURE[case]
    ended = bench.call(*bench.words(*wrong, "--dry-run"))
    assert ended.code == 2, (ended.out, ended.err)
    assert word in ended.err
    assert leftovers(bench) == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("words", [["--runner", "perl"], ["--backend", "simulated"]])
def test_the_host_refuses_what_it_cannot_run(bench, words: list[str]) -> None:
    ended = bench.call(*bench.words(*words, device="host"))
    assert ended.code == 2
    assert words[1] in ended.err
    assert leftovers(bench) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name = ", "not a device file"),
        ('name = "x"', "not a device file"),
        ('name = "Not A Name"\nplatform = "simulated"', "not a device file"),
        ("\x00\xff", "not a device file"),
    ],
)
def test_a_broken_device_file_is_refused(bench, text: str, word: str) -> None:
    path = bench.folder / "broken.toml"
    path.write_bytes(text.encode("latin-1"))
    ended = bench.call(*bench.words("--device", str(path)))
    assert ended.code == 2
    assert word in ended.err
    assert "Traceback" not in ended.err


def test_a_platform_without_an_agent_is_refused_and_the_known_ones_named(bench) -> None:
    path = Path(bench.device())
    path.write_text(path.read_text().replace('platform = "simulated"', 'platform = "toaster"'))
    ended = bench.call(*bench.words("--device", str(path)))
    assert ended.code == 2
    assert "toaster" in ended.err
    assert "host" in ended.err


def test_an_option_that_the_device_has_not_is_refused(bench) -> None:
    ended = bench.call(*bench.words(device=bench.device(gigahertz=5)))
    assert ended.code == 2
    assert "gigahertz" in ended.err


def test_an_option_of_the_wrong_type_is_refused(bench) -> None:
    ended = bench.call(*bench.words(device=bench.device(noise="loud")))
    assert ended.code == 2
    assert "noise" in ended.err


# --- the output folder -------------------------------------------------------


def test_an_output_that_is_a_file_is_refused_and_the_file_untouched(bench) -> None:
    bench.output.write_text("precious")
    ended = bench.call(*bench.words())
    assert ended.code == 2
    assert str(bench.output) in ended.err
    assert is_one_sentence(ended.err)
    assert bench.output.read_text() == "precious"


@pytest.mark.parametrize("place", ["/proc/tables", "/dev/null/tables", "/sys/tables"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(bench, place: str) -> None:
    ended = bench.call(*bench.words("--output", place))
    assert ended.code == 2
    assert place in ended.err
    assert "pass" not in ended.err
    assert is_one_sentence(ended.err)


def test_a_cache_that_cannot_be_written_is_a_sentence(
    bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_CACHE", "/proc/cache")
    ended = bench.call(*bench.words())
    assert ended.code in (2, 3)
    assert "/proc/cache" in ended.err
    assert is_one_sentence(ended.err)


def files_up_to(size: int):
    """A stand-in for a full disk: files of this process cannot grow beyond a size."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_disk_without_room_for_a_table_is_refused_before_any_work(bench) -> None:
    ended = bench.run(*bench.words(), preexec_fn=files_up_to(40_000))
    assert ended.code == 2, ended.err
    assert "Cannot write" in ended.err
    assert "pass" not in ended.err
    assert is_one_sentence(ended.err)


@pytest.mark.thorough
@pytest.mark.parametrize("size", [70_000, 150_000])
def test_a_disk_that_fills_up_on_the_way_keeps_what_was_measured_for_resume(
    bench, size: int
) -> None:
    words = bench.words()
    ended = bench.run(*words, preexec_fn=files_up_to(size))
    assert ended.code in (2, 3), ended.err
    assert "Traceback" not in ended.err
    assert "--resume" in ended.err
    assert bench.written() == []
    (path,) = bench.journals()
    assert path.stat().st_size <= size

    resumed = bench.run(*words, "--resume")
    assert resumed.code == 0, resumed.err
    table = read_table(bench.written()[0])
    samples = table.samples()
    assert table.manifest.space.operators_measured == len(table.entries)
    protocol = table.manifest.protocol
    assert samples.groupby("item").size().eq(protocol.passes * protocol.rounds_per_pass).all()
    assert not samples.duplicated(["item", "pass", "round"]).any()
    assert bench.journals() == []


def test_a_damaged_journal_is_named_and_restart_offered(bench) -> None:
    settings = bench.call(*bench.words("--seed", "3"))
    assert settings.code == 0
    (folder,) = bench.written()
    ended = bench.run(*bench.words(), preexec_fn=files_up_to(70_000))
    (path,) = bench.journals()
    path.write_bytes(path.read_bytes()[:5000])
    ended = bench.call(*bench.words("--resume"))
    assert ended.code == 2
    assert "damaged" in ended.err
    assert "--restart" in ended.err
    assert bench.call(*bench.words("--restart")).code == 0
    assert len(bench.written()) == 2
    assert folder in bench.written()
