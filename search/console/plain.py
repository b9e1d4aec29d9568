"""Standard output and error that obey nobody but this program.

Names come from devices, files and other people's tables. A terminal takes some of their
characters for commands: to move the cursor, to set its title, to turn text round. Whatever is
printed passes through here, where such characters are spelled out, and where lines that are
wider than a terminal are folded between words.
"""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from search.console.messages import folded

# All controls but tab and line feed, the marks that turn text round, separators of lines and
# paragraphs, and halves of characters.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Sentences in wider lines are hard to read; tables may be as wide as the terminal is.
_WIDEST_SENTENCE = 100


def plain(text: str) -> str:
    """Text in which every character that steers a terminal is spelled out, as in `\\x1b`."""
    return _CONTROLS.sub(lambda match: _spelled(match[0]), text)


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class PlainStream:
    """A text stream through which no control character passes; `raw` is the one below.

    On a terminal its lines are folded between words; the end of a line that has not come yet is
    held back until it comes, or until it is flushed. It has no `buffer`: what wrote bytes there
    would go round it.
    """

    def __init__(self, raw: TextIO, widest: int | None = None) -> None:
        """`widest`: most columns of a line, where a terminal has more."""
        self.raw = raw
        self._widest = widest
        self._held = ""

    def write(self, text: str) -> int:
        """Write text, controls spelled out, lines folded on a terminal."""
        if not isinstance(text, str):
            raise TypeError("only text can be written here")
        if not self.raw.isatty():
            self.raw.write(plain(text))
            return len(text)
        whole, end, self._held = (self._held + text).rpartition("\n")
        if end:
            self.raw.write(folded(plain(whole), self._columns()) + end)
        return len(text)

    def write_whole(self, text: str) -> None:
        """Write text, controls spelled out, its lines as they are."""
        self.flush()
        self.raw.write(plain(text))

    def flush(self) -> None:
        """Write what was held back, and flush the stream below."""
        held, self._held = self._held, ""
        if held:
            self.raw.write(folded(plain(held), self._columns()))
        self.raw.flush()

    def _columns(self) -> int:
        columns = shutil.get_terminal_size().columns
        return columns if self._widest is None else min(columns, self._widest)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.raw, name)


def print_whole(text: str) -> None:
    """Print what another program reads, or a file's content: no line of it is folded."""
    stream = sys.stdout
    if isinstance(stream, PlainStream):
        stream.write_whole(text)
    else:
        stream.write(text)


def raw_stream(stream: TextIO) -> TextIO:
    """The stream below, for a progress bar, which steers the terminal itself."""
    return stream.raw if isinstance(stream, PlainStream) else stream


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Standard output and error are plain in this context, whatever encoding they have."""
    before = sys.stdout, sys.stderr
    sys.stdout = _plain_stream(before[0])
    sys.stderr = _plain_stream(before[1], _WIDEST_SENTENCE)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _plain_stream(stream: TextIO | None, widest: int | None = None) -> TextIO:
    if stream is None:  # it was closed before this program began
        stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (stays open)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # no character is lost in the C locale
    return cast(TextIO, PlainStream(stream, widest))


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
