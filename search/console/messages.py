"""Lines folded for whoever reads them: all that is printed on a terminal goes through here.

A log keeps one line a message, so that it can be searched. On a terminal words
move to the next line whole, below the text that they belong to, and a command at
the end of a message has a line of its own, which is not broken: it is there to be
pasted.
"""

import re
import textwrap

# What stands before the text of a line: its indent, and a mark or a title of up to three words.
_BEFORE_TEXT = re.compile(r" *(?:[*-] |\S+(?: \S+){0,2} {2,})?")
_WIDEST_TITLE = 24
_COMMAND_AT_END = re.compile(r"(.+[:(]) ?((?:python -m|fbnet-kit|pip install) .+)")


def folded(text: str, width: int) -> str:
    """Text in lines of at most `width` columns, but for a command to be pasted at its end.

    Lines that the text has already are kept. A word that is longer than a line
    stands alone in one.
    """
    return "\n".join(line for part in text.split("\n") for line in _fold(part, width))


def _fold(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    ends = _COMMAND_AT_END.fullmatch(line)
    sentence, command = ends.groups() if ends else (line, None)
    indent = " " * _hanging(line)
    lines = textwrap.wrap(
        sentence,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return lines if command is None else [*lines, f"{indent}  {command}"]


def _hanging(line: str) -> int:
    """How far the lines below the first one are indented."""
    before = _BEFORE_TEXT.match(line)
    if before is None or len(before[0]) > _WIDEST_TITLE:
        return min(len(line) - len(line.lstrip()), _WIDEST_TITLE)
    return len(before[0])


def counted(number: int, noun: str) -> str:
    """A number with its noun in the right form: 1 operator, 2 operators."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
