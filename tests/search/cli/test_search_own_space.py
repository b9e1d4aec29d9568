"""Searches of a space of one's own: every method, from a table that outlives the space's file."""

import shutil
from pathlib import Path

import pytest

from search.architecture import read_architecture
from search.spaces.registry import make_space, parse_space
from search.table.store import profile_command, read_manifest
from tests.search.cli.runner import Desk, is_refusal, write

EDGE = Path(__file__).parents[1] / "spaces" / "edge.toml"
SPACE = make_space(str(EDGE))


@pytest.fixture
def table(desk: Desk) -> str:
    return str(write(desk.path("own"), space=SPACE))


@pytest.mark.parametrize("algorithm", ["fbnet", "fp-nas", "parsec", "random", "evolution"])
def test_every_method_of_the_fbnet_kind_searches_it(desk: Desk, table: str, algorithm: str) -> None:
    words = ["--table", table, "--algorithm", algorithm, "--target-ms", "6", "--quiet"]
    words += ["--epochs", "1", "--budget", "2", *desk.data(40)]
    ended = desk.call(*words, "-o", str(desk.path("net.json")))
    assert ended.code == 0, ended.err
    network = read_architecture(desk.path("net.json"))
    assert network.operators[:2] == SPACE.before
    for layer, operator in zip(SPACE.layers, network.operators[2:5], strict=True):
        assert operator in {choice.operator for choice in layer.choices}
    assert network.space is not None
    assert parse_space(network.space).layers == SPACE.layers
    if algorithm == "fbnet":
        _choose_again(desk, table)


def _choose_again(desk: Desk, table: str) -> None:
    """What needs the scores of a search: exact selection, a front, one network a table."""
    scores = str(desk.path("net.run") / "scores.json")
    words = ["--table", table, "--scores", scores, "--target-ms", "6"]
    exact = desk.call(*words, "--algorithm", "exact", "-o", str(desk.path("exact.json")))
    assert exact.code == 0, exact.err
    front = desk.call("front", *words)
    assert front.code == 0, front.err
    other = str(write(desk.path("other"), space=SPACE, seed=1))
    words = ["--supernet", str(desk.path("net.run")), "--target-ms", "6", "--limit", "40"]
    words += ["--table", table, "--table", other, "--networks", "15", "--threads", "1"]
    ended = desk.call("specialise", *words, "-o", str(desk.path("out")))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("algorithm", ["single-path", "fbnetv2"])
def test_a_method_that_cannot_search_it_says_which_can(
    desk: Desk, table: str, algorithm: str
) -> None:
    words = ["--table", table, "--algorithm", algorithm, "--target-ms", "6"]
    ended = desk.call(*words, *desk.data(40), "-o", str(desk.path("net.json")))
    assert is_refusal(ended)
    assert "Give --algorithm fbnet, fp-nas or parsec." in ended.err


def test_a_space_of_nested_kernels_is_searched_by_superkernels_too(desk: Desk) -> None:
    text = EDGE.read_text().split("candidates = [")[0]
    stages = "[[stages]]\nchannels = 16\nrepeats = 2\nstride = 2\n[head]\nchannels = 16\n"
    names = 'candidates = ["k3_e3", "k5_e3", "k3_e6", "k5_e6", "skip"]\n[stem]\nchannels = 8\n'
    desk.path("nested.toml").write_text(text.replace("edge", "nested") + names + stages)
    table = str(write(desk.path("own"), space=make_space(str(desk.path("nested.toml")))))
    words = ["--table", table, "--algorithm", "single-path", "--target-ms", "6", "--quiet"]
    ended = desk.call(*words, "--epochs", "1", *desk.data(40), "-o", str(desk.path("net.json")))
    assert ended.code == 0, ended.err


def test_a_file_stands_wherever_a_space_does(desk: Desk) -> None:
    words = ["--space", str(EDGE), "--algorithm", "random", "--cost", "flops", "--budget", "2"]
    words += ["--target-mflops", "1", "--epochs", "1", "--quiet", *desk.data(40)]
    ended = desk.call(*words, "-o", str(desk.path("net.json")))
    assert ended.code == 0, ended.err
    network = read_architecture(desk.path("net.json"))
    assert network.operators[:2] == SPACE.before  # and the classifier is that of the digits
    wrong = desk.path("wrong.toml")
    wrong.write_text(EDGE.read_text().replace("repeats", "repeets"))
    words[1] = str(wrong)
    assert "The nearest is repeats." in desk.call(*words).err


def test_the_space_of_a_table_is_written_as_a_file_again(desk: Desk, table: str) -> None:
    again = desk.path("again.toml")
    assert desk.call("spaces", "show", table, "-o", str(again)).code == 0
    assert make_space(str(again)) == SPACE
    assert is_refusal(desk.call("spaces", "show", table, "-o", str(again)))
    assert is_refusal(desk.call("spaces", "show", "fbnetv2-mini"))
    spec = read_manifest(Path(table)).space.spec
    assert f"--space {spec} " in profile_command(read_manifest(Path(table)))
    assert desk.call("spaces", "show", spec).out == again.read_text()


def test_a_copy_of_a_known_space_gets_a_name_of_its_own(desk: Desk) -> None:
    copy = desk.path("camera.toml")
    assert desk.call("spaces", "show", "fbnet-mini", "-o", str(copy)).code == 0
    mine = make_space(str(copy))
    assert mine.label.startswith("camera.")
    assert mine.layers == make_space("fbnet-mini").layers
    assert 'name = "my-uib"' in desk.call("spaces", "show", "uib").out


def test_a_checked_file_is_counted_and_a_wrong_one_refused(desk: Desk) -> None:
    ended = desk.call("spaces", "check", str(EDGE), "--format", "csv")
    assert ended.out.splitlines()[1] == "edge,3,13,60.0,16,fbnet fp-nas parsec"
    shutil.copy(EDGE, desk.path("edge.txt"))
    assert is_refusal(desk.call("spaces", "check", str(desk.path("edge.txt"))))
