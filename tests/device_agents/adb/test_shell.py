"""Scripts and their answers, run by this machine's own shell."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agents.adb.shell import parse, printable, quote, script_batches, script_of
from search.errors import ConnectionLost, UsageError

NONCE = "0123456789abcdef01234567"
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def ran(commands: list[list[str]]) -> bytes:
    script = script_of(commands, NONCE)
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).stdout


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_any_words_survive_the_shell(words: list[str]) -> None:
    (done,) = parse(ran([["printf", "%s\\n", *words]]), NONCE, 1)
    assert done.stdout.decode() == "".join(f"{word}\n" for word in words)
    assert done.code == 0


COMMANDS = [["printf", "a\nb"], ["sh", "-c", "echo out; echo err >&2; exit 3"], ["true"]]
ANSWER = ran(COMMANDS)


@given(st.integers(0, len(ANSWER) - 2))
def test_an_answer_cut_anywhere_is_a_lost_connection(length: int) -> None:
    with pytest.raises(ConnectionLost):
        parse(ANSWER[:length], NONCE, len(COMMANDS))


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_what_stands_round_an_answer_does_not_matter(before: bytes, behind: bytes) -> None:
    found = parse(before + ANSWER + behind, NONCE, len(COMMANDS))
    assert [one.code for one in found] == [0, 3, 0]
    assert [one.stdout for one in found] == [b"a\nb", b"out\n", b""]


@given(st.lists(st.lists(WORDS, min_size=1, max_size=30), max_size=60))
def test_batches_keep_order_and_fit_into_the_smallest_packet(commands: list[list[str]]) -> None:
    groups = list(script_batches(commands))
    assert [command for group in groups for command in group] == commands
    for group in groups:
        script = f"shell:{script_of(group, NONCE)}\0".encode()
        assert len(script) <= 4096 or len(group) == 1


def test_a_nul_is_refused() -> None:
    with pytest.raises(UsageError, match="NUL"):
        quote(["echo", "a\0b"])


def test_what_is_shown_obeys_no_terminal() -> None:
    assert printable("a\x1b[2J\n" + "é") == "a?[2J?é"
    assert len(printable("x" * 1000)) < 300
