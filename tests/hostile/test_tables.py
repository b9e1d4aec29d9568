"""Damaged tables: every command that reads one refuses every one of them with a sentence."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.table.store import ENTRIES, MANIFEST, SAMPLES
from tests.hostile.conftest import LONG, OF_SAMPLES, Material, refused, table_commands, tried
from tests.hostile.table_damage import TABLE_DAMAGES
from tests.hostile.watchdog import run

# It is shown, and nothing else is done with it.
_UNREAD = "a title that leads elsewhere"
_DAMAGES = [name for name in TABLE_DAMAGES if _UNREAD not in name]


@pytest.fixture
def damaged(material: Material) -> Iterator[Path]:
    """A copy of the whole table, to be damaged."""
    root = material.folder / "damaged"
    folder = root / material.table.parent.name / material.table.name
    shutil.copytree(material.table, folder)
    yield folder
    shutil.rmtree(root)


@pytest.mark.parametrize("name", _DAMAGES)
def test_every_reader_refuses_a_damaged_table_with_a_sentence(
    material: Material, damaged: Path, name: str
) -> None:
    damage = TABLE_DAMAGES[name]
    damage.apply(damaged)
    commands = table_commands(material, damaged)
    of_samples = damage.file == SAMPLES and damage.sealed
    readers = [*OF_SAMPLES] if of_samples else [n for n in commands if n not in OF_SAMPLES]
    for reader in readers:
        ended = run(*commands[reader])
        if _is_not_read(name, reader):
            assert ended.faults() == [], ended.told
        else:
            refused(ended, *([] if "a space " in name else [damaged.name]))


def _is_not_read(name: str, reader: str) -> bool:
    """Whether a command has no use for what was damaged."""
    if "a space " in name:
        return reader not in ("front", "exact", "search")
    if name.startswith(("samples: a network", "exam: a network")):
        return reader != "curve"
    return False


@pytest.mark.parametrize("reader", ["show", "show as CSV", "diff of", "compare", "export csv"])
def test_who_does_not_read_the_samples_tells_what_it_told_before(
    material: Material, damaged: Path, reader: str
) -> None:
    before = tried(*table_commands(material, damaged)[reader])
    TABLE_DAMAGES["samples: zero nanoseconds, sealed"].apply(damaged)
    after = tried(*table_commands(material, damaged)[reader])
    assert (before.code, before.out) == (after.code, after.out)


def test_every_reader_takes_the_whole_table(material: Material) -> None:
    for reader, words in table_commands(material, material.table).items():
        if reader not in LONG:
            ended = tried(*words)
            assert ended.code == {"refine": 2, "specialise": 1}.get(reader, 0), ended.told


@pytest.mark.parametrize("file", [MANIFEST, ENTRIES, SAMPLES, "exam.csv"])
def test_an_edited_table_is_called_edited_whatever_the_edit(
    material: Material, damaged: Path, file: str
) -> None:
    path = damaged / file
    content = path.read_bytes()
    number = content.rindex(b"0.") if file == MANIFEST else len(content) // 2
    path.write_bytes(content[:number] + bytes([content[number] ^ 1]) + content[number + 1 :])
    refused(run("profiler", "show", str(damaged)), "edited")
