"""Report of a checkup: checks in turn, to be read or sent back."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Result of one check; `says` is a sentence, `facts` the values that were read."""

    name: str
    passed: bool
    says: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of one device; a rehearsal is not a phone."""

    device: str
    rehearsal: bool
    said: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON content."""
        return {"schema_version": 1, "passed": self.passed, **asdict(self)}


def to_markdown(report: Report) -> str:
    """The report as Markdown, to be pasted into a message."""
    kind = " (rehearsal, not a phone)" if report.rehearsal else ""
    lines = [f"# Checkup of {report.device.removesuffix(kind)}{kind}", ""]
    for check in report.checks:
        lines.append(f"- {'ok    ' if check.passed else 'FAILED'} {check.name}: {check.says}")
    for check in report.checks:
        lines += [
            *(["", f"## {check.name}", ""] if check.facts else []),
            *(line for name, value in check.facts.items() for line in _fact(name, value)),
        ]
    lines += ["", "## said", "", *(f"- {text}" for text in report.said)] if report.said else []
    return "\n".join(lines) + "\n"


def _fact(name: str, value: Any) -> list[str]:
    """A point of a list; of a mapping, one below it for each entry."""
    if isinstance(value, dict):
        return [f"- {name}:", *(f"  - {key}: {one}" for key, one in value.items())]
    return [f"- {name}: {value}"]
