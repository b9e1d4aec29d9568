"""Whether two devices have the same processor: known, known not to, or not known.

The facts decide where both tables hold them (`CpuIdentity`). A table of an older
schema has only a name; "AMD EPYC" or "ARMv8 Processor rev 0" is what many
machines answer, and never proves that two are alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.table.manifest import CoreKind, CpuCache, CpuIdentity, DeviceInfo

# Digits that are no model number: clocks, counts of cores, revisions, architectures;
# and the one name that Raspberry Pis of all generations give.
_NO_MODEL = re.compile(
    r"@?\s*\d+(?:\.\d+)?\s*[GM]Hz|\b\d+-?(?:cores?|bits?)\b|\bversion\s+\S+|\brev\s+\d+|\bv\d+\w*"
    r"|\b(?:armv\d+\w*|aarch64|arm64|x86_64|amd64|i\d86|riscv\d+|ppc64\w*)\b|\b0000\b|\bBCM2835\b",
    re.IGNORECASE,
)
# "Xeon E312xx": a hypervisor's name for a class of processors.
_CLASS = re.compile(r"\dx|\b[Cc]lass\b|\b[Vv]irtual\b")
_ARCHITECTURE = re.compile(
    r"(?:armv\d|aarch64|arm64|x86_64|amd64|i\d86|riscv|ppc|BCM2835|unknown)", re.I
)

_NOT_KNOWN = (None, "")


def is_general_name(name: str) -> bool:
    """Whether a processor's name holds no model number, so that different ones share it."""
    return bool(_CLASS.search(name)) or not re.search(r"\d", _NO_MODEL.sub(" ", name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How two devices or processors compare; `reason` completes "because ...".

    `name` is the processor that both have, None unless the verdict is "same".
    """

    verdict: Literal["same", "different", "unknown"]
    reason: str
    name: str | None = None


def processor_of(device: DeviceInfo) -> str | None:
    """The name of the processor that a device's times were taken on; None if not known.

    A rehearsal does not run on the chip that it names, and a simulated device has none.
    """
    if device.kind == "simulated":
        return None
    if device.kind == "android":
        return device.soc or device.cpu
    return device.cpu or (None if device.kind == "rehearsal" else device.soc)


def compare_processors(old: DeviceInfo, new: DeviceInfo) -> Likeness:
    """Whether two devices have the same processor."""
    mine, theirs = processor_of(old), processor_of(new)
    if mine is None or theirs is None:
        return _unknown("two devices, and not both name their processor")
    general = is_general_name(mine) or is_general_name(theirs)
    if differing := _differences_of(old, new):
        facts = "; ".join(f"{name} {a} and {b}" for name, (a, b) in differing)
        what = mine if mine == theirs else f"{mine} and {theirs}"
        return Likeness(verdict="different", reason=f"different processors, {what}: {facts}")
    if mine != theirs and not (general and _both_decisive(old, new)):
        return _of_two_names(mine, theirs)
    if general and not _both_decisive(old, new):
        return _unknown(f"not known to be the same processor: many machines are named {mine}")
    name = _shown(old) or _shown(new) or mine
    return Likeness(verdict="same", reason=f"both ran on {name}", name=name)


def compare_devices(old: DeviceInfo, new: DeviceInfo) -> Likeness:
    """Whether two tables are of one device: for this machine its processor, else its id."""
    if old.kind != new.kind or (old.kind != "host" and old.id != new.id):
        return Likeness(verdict="different", reason="another device")
    if old.kind == "ios" and old.model != new.model:
        return Likeness(verdict="different", reason=f"another model, {old.model} and {new.model}")
    if old.kind in ("host", "rehearsal"):
        return compare_processors(old, new)
    return Likeness(verdict="same", reason="one device", name=processor_of(old) or old.id)


def differing_facts(
    old: CpuIdentity, new: CpuIdentity
) -> tuple[tuple[str, tuple[object, object]], ...]:
    """The facts that both know and in which they differ, as (name, (old, new))."""
    pairs: dict[str, tuple[object, object]] = {
        name: (getattr(old, name), getattr(new, name))
        for name in ("vendor", "family", "model", "stepping", "cores", "board")
    }
    pairs["kinds of cores"] = _kinds(old.kinds, new.kinds), _kinds(new.kinds, old.kinds)
    pairs["caches"] = _caches(old.caches), _caches(new.caches)
    pairs["instruction sets"] = _only(old, new), _only(new, old)
    return tuple(
        (name, (a, b))
        for name, (a, b) in pairs.items()
        if a not in _NOT_KNOWN and b not in _NOT_KNOWN and a != b
    )


def _unknown(reason: str) -> Likeness:
    return Likeness(verdict="unknown", reason=reason)


def _of_two_names(mine: str, theirs: str) -> Likeness:
    """Names of architectures tell nothing, whatever the other one is called."""
    names = f"{mine} and {theirs}"
    if _ARCHITECTURE.match(mine) or _ARCHITECTURE.match(theirs):
        return _unknown(f"not known to be the same processor: {names}")
    return Likeness(verdict="different", reason=f"different processors, {names}")


def _differences_of(
    old: DeviceInfo, new: DeviceInfo
) -> tuple[tuple[str, tuple[object, object]], ...]:
    if old.processor is None or new.processor is None:
        return ()
    return differing_facts(old.processor, new.processor)


def _both_decisive(old: DeviceInfo, new: DeviceInfo) -> bool:
    return all(one.processor is not None and one.processor.is_decisive for one in (old, new))


def _shown(device: DeviceInfo) -> str | None:
    """The completed name of this machine's processor."""
    return device.soc if device.kind == "host" and device.processor is not None else None


def _only(one: CpuIdentity, other: CpuIdentity) -> str:
    """Instruction sets of one side alone; empty where a side knows none."""
    if not one.instruction_sets or not other.instruction_sets:
        return ""
    alone = [name for name in one.instruction_sets if name not in other.instruction_sets]
    return f"with {', '.join(alone)}" if alone else "without"


def _kinds(kinds: Sequence[CoreKind], others: Sequence[CoreKind]) -> str:
    """Kinds of cores as words; with their numbers where both sides count them."""
    counted = all(kind.cores is not None for kind in (*kinds, *others))
    words = [
        f"{f'{kind.cores}x' if counted else ''}{kind.implementer}/{kind.part}/{kind.variant or '?'}"
        for kind in kinds
    ]
    return "+".join(words)


def _caches(caches: Sequence[CpuCache]) -> str:
    """Caches as words: "L1d 32, L1i 32, L2 1024 KiB"."""
    words = [
        f"{'' if one.level is None else f'L{one.level}'}"
        f"{'' if one.kind in (None, 'unified') else one.kind[0]} {one.size_kb}".strip()
        for one in caches
    ]
    return f"{', '.join(words)} KiB" if words else ""
