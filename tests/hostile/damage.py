"""Damage that any file can suffer, and damage of JSON documents in particular."""

import json
from collections.abc import Callable, Iterator
from typing import Any

Damage = Callable[[bytes], bytes]
# Stands for a text that `json.dumps` cannot write.
_MARK = "\x00here\x00"

BYTES: dict[str, Damage] = {
    "empty": lambda _: b"",
    "cut in the middle": lambda content: content[: len(content) // 2],
    "bytes that are no UTF-8": lambda content: content[:40] + b"\xff\xfe\x80" + content[40:],
    "another encoding": lambda content: content.decode(errors="replace").encode("utf-16"),
    "nothing but zeros": lambda _: bytes(5000),
    "a NUL inside": lambda content: content[:40] + b"\0" + content[40:],
    "one endless line": lambda _: b"x" * 300_000,
    "a page of the web": lambda _: b"<!DOCTYPE html><html><body>404</body></html>\n",
}
DEEP = "[" * 10_000 + "]" * 10_000
DEEP_OBJECTS = '{"a":' * 10_000 + "1" + "}" * 10_000
LONG = "9" * 5000
# Texts in place of a number. None of them is a time, a count or a share.
NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e300", "-1e300", LONG, f"1{LONG}.5", "true", '"7"')
JSON: dict[str, Damage] = {
    **BYTES,
    "nested ten thousand deep": lambda _: DEEP.encode(),
    "objects ten thousand deep": lambda _: DEEP_OBJECTS.encode(),
    "a number of thousands of digits": lambda _: LONG.encode(),
    "a list": lambda content: b"[" + content + b"]",
    "null": lambda _: b"null",
    "a text": lambda _: b'"text"',
    "every key twice": lambda content: _twice(content),
    "an escape that is half a character": lambda content: _first_text(content, '"\\ud800"'),
    "nested ten thousand deep inside": lambda content: _added(content, DEEP),
    "thousands of digits inside": lambda content: _added(content, LONG),
    "a key that is not known": lambda content: _added(content, "1"),
}


def numbers_of(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers in a document."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from numbers_of(value, (*path, name))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from numbers_of(value, (*path, index))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield path


def with_text(content: Any, path: tuple[Any, ...], text: str) -> str:
    """A document with this text at a path, however impossible."""
    copy = json.loads(json.dumps(content))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = _MARK
    return json.dumps(copy).replace(json.dumps(_MARK), text)


def _added(content: bytes, text: str) -> bytes:
    """A further field at the end of an object."""
    return content.rstrip()[:-1] + f', "further": {text}}}'.encode()


def _twice(content: bytes) -> bytes:
    inner = content.strip()[1:-1]
    return b"{" + inner + b"," + inner + b"}"


def _first_text(content: bytes, text: str) -> bytes:
    """The first text that stands as a value, replaced."""
    head, _, tail = content.decode().partition('": "')
    return f'{head}": {text}{tail.partition(chr(34))[2]}'.encode()
