"""READMEs as data: their code, links, paths and command lines."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("search", "deploy", "device_agents", "profiler")
# Folders that commands write or users bring; no checkout has them.
_NOT_OURS = ("train/", "val/", "net.run/")


@dataclass(frozen=True)
class Block:
    """One block of code; `language` is empty for an indented one."""

    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command line as its words; `whole` where it stands in a block, ready to be typed."""

    line: str
    whole: bool

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)


@dataclass(frozen=True)
class Readme:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(block for block in self._parts if isinstance(block, Block))

    @cached_property
    def prose(self) -> str:
        return "\n".join(part for part in self._parts if isinstance(part, str))

    @cached_property
    def spans(self) -> tuple[str, ...]:
        """Code inside sentences."""
        return tuple(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", self.prose))

    @cached_property
    def links(self) -> tuple[str, ...]:
        """Targets of links that do not leave the project."""
        targets = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", self.prose)
        return tuple(target for target in targets if "://" not in target)

    @cached_property
    def anchors(self) -> tuple[str, ...]:
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return tuple(
            re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in headings
        )

    def section(self, heading: str) -> str:
        """The text under a heading of the second level."""
        _, _, rest = self.text.partition(f"## {heading}\n")
        return rest.partition("\n## ")[0]

    @cached_property
    def rooms(self) -> tuple[str, ...]:
        """First column of the table of rooms."""
        rows = self.section("Rooms, in the order of the data")
        return tuple(re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE))

    def commands(self) -> Iterator[Command]:
        """Command lines of this project's Python, its Makefile and `fbnet-kit`."""
        for script in self.scripts():
            yield from script
        for span in self.spans:
            if match := _COMMAND.match(span):
                yield Command(match.group(1), whole=False)

    def scripts(self) -> Iterator[tuple[Command, ...]]:
        """Command lines that are ready to be typed, by the blocks in which they stand."""
        for block in self.blocks:
            lines = block.text.replace("\\\n", " ").splitlines()
            found = [_COMMAND.match(line.strip().removeprefix("$ ")) for line in lines]
            yield tuple(Command(match.group(1), whole=True) for match in found if match)

    def samples(self) -> Iterator[tuple[str, str]]:
        """Commands that begin with `$`, each with the output shown for it."""
        for block in self.blocks:
            first, _, output = block.text.partition("\n")
            if first.startswith("$ python -m "):
                yield first.removeprefix("$ "), output

    def missing_paths(self) -> list[str]:
        """Files and folders that are named but not there."""
        named = [span for span in self.spans if re.fullmatch(r"[\w.\-/]+", span)]
        return [name for name in named if _is_ours(name) and not self._exists(name)]

    def dead_links(self) -> list[str]:
        return [target for target in self.links if not self._leads_somewhere(target)]

    def _leads_somewhere(self, target: str) -> bool:
        file, _, anchor = target.partition("#")
        path = (self.path.parent / file).resolve() if file else self.path
        if not path.exists():
            return False
        return not anchor or anchor in Readme(path).anchors

    def _exists(self, name: str) -> bool:
        return any((base / name).exists() for base in (ROOT, self.path.parent))

    @cached_property
    def _parts(self) -> tuple[Block | str, ...]:
        parts: list[Block | str] = []
        kind, lines, after_blank = "", [], True  # type: str, list[str], bool

        def end(next_kind: str) -> None:
            nonlocal kind, lines
            if lines:
                text = "\n".join(lines)
                language = kind.removeprefix("```")
                parts.append(Block("" if kind == "indent" else language, text) if kind else text)
            kind, lines = next_kind, []

        for line in self.text.splitlines():
            if line.startswith("```"):
                end("" if kind.startswith("```") else line if line != "```" else "```text")
            elif kind.startswith("```"):
                lines.append(line)
            else:
                indented = line.startswith("    ") and (kind == "indent" or after_blank)
                if indented != (kind == "indent"):
                    end("indent" if indented else "")
                lines.append(line[4:] if indented else line)
            after_blank = not line.strip()
        end("")
        return tuple(parts)


_COMMAND = re.compile(
    r'^(?:eval "\$\()?((?:python (?:-m )?[\w./]+|torchrun |make |fbnet-kit ).*?)(?:\)")?$'
)


def _is_ours(name: str) -> bool:
    if name in _NOT_OURS or "..." in name:
        return False
    top = name.split("/")[0]
    inside = "/" in name and top in (*PACKAGES, "tables", "tests", ".github")
    return inside or name.endswith(("/", ".py", ".toml", ".cpp", ".h", ".swift"))


def all_readmes() -> list[Readme]:
    """Every page of documentation, the main one first."""
    paths = [
        ROOT / "README.md",
        *(ROOT / package / "README.md" for package in PACKAGES),
        ROOT / "tests" / "benchmarks" / "README.md",
        ROOT / "tests" / "journeys" / "README.md",
        ROOT / "tables" / "README.md",
        *sorted((ROOT / "device_agents" / "runners").glob("*/README.md")),
        *sorted((ROOT / ".github").glob("*.md")),
    ]
    return [Readme(path) for path in paths]
