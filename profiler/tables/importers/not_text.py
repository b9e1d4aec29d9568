"""Files that are not read, and why: pickles, and data that are no operators of this kit."""

from pathlib import Path

from search.errors import UsageError

_ZIP = b"PK\x03\x04"
# Protocol 2 to 5 begins with this byte and its number; NumPy's arrays with theirs.
_PICKLES, _NUMPY = tuple(bytes((0x80, number)) for number in range(2, 6)), b"\x93NUMPY"
_ENDINGS = (".pickle", ".pkl", ".pt", ".pth", ".npy", ".npz")

BENCH_TO_TEXT = (
    "HW-NAS-Bench's own program writes its tables as text, which is read here: "
    "json.dump(HWNASBenchAPI(FILE, search_space='fbnet').get_op_lookup_tables(), ...); "
    "see profiler/tables/importers/README.md."
)
TO_TEXT = (
    "Where you trust it, load it with its publisher's program and write its numbers as text; "
    "profiler/tables/importers/README.md says in which form."
)

NOT_IMPORTED = {
    "mobile-vision": (
        "mobile-vision's runtime_lut times single Caffe2 operators (one int8 convolution a row), "
        "not the blocks that networks here are made of; a block's time would be a sum that "
        "nobody measured."
    ),
    "help": (
        "HELP's lists hold latencies of whole networks by number, not of operators; and some "
        "of them were added up from a table, not measured."
    ),
}
INSTEAD = "profiler/tables/importers/README.md tells more; measure a table of your own device."


def refuse_format(name: str) -> None:
    """Say of a known format why it is not imported; nothing for any other.

    Raises:
        UsageError: It is one of `NOT_IMPORTED`.
    """
    if name in NOT_IMPORTED:
        raise UsageError(f"{name} is not imported. {NOT_IMPORTED[name]}", INSTEAD)


def refuse_content(path: Path, content: bytes, format_name: str) -> None:
    """Refuse what is no text, before anything tries to make sense of it.

    Raises:
        UsageError: A pickle (loading one runs whatever program it holds), an archive, or
            records of a format that is not imported.
    """
    pickled = content.startswith((*_PICKLES, _NUMPY))
    if pickled or (path.suffix.lower() in _ENDINGS and b"\0" in content[:4096]):
        raise UsageError(
            f"{path} is a pickle or an array, not text; loading a pickle runs whatever program "
            "it holds, so none is read.",
            BENCH_TO_TEXT if format_name == "hw-nas-bench" else TO_TEXT,
        )
    if content.startswith(_ZIP):
        raise UsageError(f"{path} is an archive.", "Unpack it, and import the file that it holds.")
    head = content[:4096]
    if b'"runtime_us_p50"' in head and b'"op_type"' in head:
        raise UsageError(f"{path} is not imported. {NOT_IMPORTED['mobile-vision']}", INSTEAD)
