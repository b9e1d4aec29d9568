"""Messages on standard error, folded for whoever reads them.

A log keeps one line a message, so that it can be searched. On a terminal words
move to the next line whole, and a command at the end of a message has a line of
its own, which is not broken: it is there to be pasted.
"""

import re
import shutil
import sys
import textwrap

_WIDEST = 100
_COMMAND_AT_END = re.compile(r"(.+[:(]) ?((?:python -m|fbnet-kit|pip install) .+)")


def folded(text: str, width: int) -> str:
    """Text in lines of at most `width` columns, but for a command to be pasted at its end.

    Lines that the text has already are kept. A word that is longer than a line
    stands alone in one.
    """
    return "\n".join(line for part in text.splitlines() for line in _fold(part, width))


def _fold(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    ends = _COMMAND_AT_END.fullmatch(line)
    sentence, command = ends.groups() if ends else (line, None)
    indent = " " * (len(line) - len(line.lstrip()))
    lines = textwrap.wrap(
        sentence.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines if command is None else [*lines, f"{indent}  {command}"]


def counted(number: int, noun: str) -> str:
    """A number with its noun in the right form: 1 operator, 2 operators."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def for_reader(text: str) -> str:
    """Text for standard error: folded to a terminal, as it is for a log."""
    if not sys.stderr.isatty():
        return text
    return folded(text, min(shutil.get_terminal_size().columns, _WIDEST))
