"""Standard output and error that obey nobody but this program.

Names come from devices, files and other people's tables. A terminal takes some of their
characters for commands: to move the cursor, to set its title, to turn text round. Whatever is
printed passes through here, where such characters are spelled out.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

# All controls but tab and line feed, the marks that turn text round, separators of lines and
# paragraphs, and halves of characters.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Text in which every character that steers a terminal is spelled out, as in `\\x1b`."""
    return _CONTROLS.sub(lambda match: _spelled(match[0]), text)


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class PlainStream:
    """A text stream through which no control character passes; `raw` is the one below.

    It has no `buffer`: what wrote bytes there would go round it.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write text, controls spelled out."""
        if not isinstance(text, str):
            raise TypeError("only text can be written here")
        self.raw.write(plain(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.raw, name)


def raw_stream(stream: TextIO) -> TextIO:
    """The stream below, for a progress bar, which steers the terminal itself."""
    return stream.raw if isinstance(stream, PlainStream) else stream


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Standard output and error are plain in this context, whatever encoding they have."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_plain_stream, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _plain_stream(stream: TextIO | None) -> TextIO:
    if stream is None:  # it was closed before this program began
        stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (stays open)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # no character is lost in the C locale
    return cast(TextIO, PlainStream(stream))


def discard_output() -> None:
    """Send what is still to be written nowhere: where it went, nothing can be written any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
