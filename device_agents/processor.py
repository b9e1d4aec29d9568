"""A processor's identity from what the kernel says of it: pure functions of text.

Formats: /proc/cpuinfo of x86 and Arm (Linux, arch/x86/kernel/cpu/proc.c and
arch/arm64/kernel/cpuinfo.c). Unknown is None or empty, never a guess. Clocks,
microcode, host names and instruction sets that select no kernel are left out:
they change, and the processor does not.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from device_agents.arm_cores import core_name
from search.table.manifest import CoreKind, CpuCache, CpuIdentity
from search.table.processors import is_general_name

# Those by which XNNPACK, KleidiAI and ONNX Runtime choose their kernels, as the kernel
# spells them. One more here changes the ids of the machines that have it.
INSTRUCTION_SETS = (
    *("ssse3", "sse4_1", "avx", "f16c", "fma", "avx2"),
    *("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi"),
    *("avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni", "avx_vnni_int8", "gfni"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("neon", "vfpv4", "asimd", "fphp", "asimdhp", "asimddp", "asimdfhm", "i8mm", "bf16"),
    *("sve", "sve2", "svei8mm", "svebf16", "sme", "sme2"),
)
_DIGITS, _NAME = 6, 40
_UNITS_KB = {"K": 1, "M": 1024, "G": 1024**2}


def parse_cpu_model(text: str) -> str | None:
    """The processor's name from /proc/cpuinfo; most phones give none."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        value = value.strip()
        if name.strip() in ("model name", "Hardware") and value and value != "unknown":
            return value
    return None


def parse_identity(
    text: str,
    *,
    caches: Iterable[CpuCache] = (),
    midr: Mapping[int, int] | None = None,
    cores: int | None = None,
    board: str | None = None,
) -> CpuIdentity:
    """A processor's identity.

    Args:
        text: /proc/cpuinfo; empty if it cannot be read.
        caches: Those of sysfs; without any, the one of /proc/cpuinfo.
        midr: MIDR_EL1 by core, for those that /proc/cpuinfo does not describe.
        cores: How many are online; None counts those of /proc/cpuinfo.
        board: The board's name in the device tree.
    """
    blocks = _blocks(text)
    first = next((block for block in blocks if "vendor_id" in block), {})
    known = tuple(caches) or _cache_of(blocks)
    numbered = sum("processor" in block for block in blocks)
    return CpuIdentity(
        vendor=_plain(first.get("vendor_id")),
        family=_whole(first.get("cpu family")),
        model=_whole(first.get("model")),
        stepping=_whole(first.get("stepping")),
        kinds=_counted(parse_core_kinds(text, midr or {}).values()),
        instruction_sets=_instruction_sets(blocks),
        caches=tuple(
            sorted(set(known), key=lambda one: (one.level or 0, one.kind or "", one.size_kb))
        ),
        cores=cores or numbered or None,
        board=re.sub(r"\s+Rev\b.*", "", board) if board else None,
    )


def parse_core_kinds(text: str, midr: Mapping[int, int] | None = None) -> dict[int, CoreKind]:
    """Kinds of Arm cores by core; empty on other processors.

    Args:
        text: /proc/cpuinfo.
        midr: MIDR_EL1 by core, taken for cores that the text does not describe each by itself.
    """
    blocks = _blocks(text)
    if any("vendor_id" in block for block in blocks):
        return {}
    kinds = {core: _kind_of_midr(value) for core, value in (midr or {}).items()}
    shared = next(
        (_kind(block) for block in blocks if "processor" not in block and _kind(block)), None
    )
    for block in blocks:
        core = _whole(block.get("processor"))
        if core is not None and (kind := _kind(block) or kinds.get(core) or shared):
            kinds[core] = kind
    return kinds


def parse_cache(level: str, kind: str, size: str) -> CpuCache | None:
    """One folder of sysfs's `cache`: its level, type ("Data") and size ("32K")."""
    match = re.fullmatch(r"(\d{1,9})\s*([KMG])?B?", size.strip())
    names = {"Data": "data", "Instruction": "instruction", "Unified": "unified"}
    if match is None or _whole(level) is None or kind not in names:
        return None
    size_kb = int(match[1]) * _UNITS_KB[match[2]] if match[2] else int(match[1]) // 1024
    return CpuCache.model_validate({"level": int(level), "kind": names[kind], "size_kb": size_kb})


def real_cores(text: str) -> str:
    """/proc/cpuinfo without the cores of which it states no instruction sets."""
    blocks = [
        block for block in text.split("\n\n") if re.search(r"^(flags|Features)\s*:", block, re.M)
    ]
    return "\n\n".join(blocks)


# --- names


def complete_name(name: str | None, identity: CpuIdentity) -> str | None:
    """A processor's readable name; one that many share is completed by the facts."""
    base = _base_name(name, identity)
    if base is None or not is_general_name(base) or identity.family is None:
        return base
    return f"{base} ({_signature(identity, ('family ', ' model ', ' stepping '))})"


def host_id(name: str, identity: CpuIdentity) -> str:
    """The id of a machine: its processor's name, and a digest of all facts.

    Args:
        name: As /proc/cpuinfo states it, or the architecture.
        identity: The facts; two machines that differ in one have different ids.
    """
    base = _base_name(name, identity) or name
    parts = ["host", _slug(base)]
    if is_general_name(base) and identity.family is not None:
        parts.append(_signature(identity, ("f", "m", "s")))
    if identity != CpuIdentity():
        parts.append(identity_digest(identity)[:_DIGITS])
    return "-".join(parts)


def plain_host_id(name: str) -> str:
    """The id that a machine had before its facts were part of it: by its processor's name."""
    return f"host-{_slug(name)}"


def identity_digest(identity: CpuIdentity) -> str:
    """Sha256 of the facts that are known."""
    # What is not known is left out: a fact that a later schema adds changes no digest.
    content = identity.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def kind_name(kind: CoreKind) -> str:
    """The name of a kind of core: "ARM Cortex-A76"."""
    return core_name(kind.implementer, kind.part)


def _base_name(name: str | None, identity: CpuIdentity) -> str | None:
    if identity.kinds and (name is None or is_general_name(name)):
        return " + ".join(dict.fromkeys(kind_name(kind) for kind in identity.kinds))
    return name


def _signature(identity: CpuIdentity, words: Sequence[str]) -> str:
    values = (identity.family, identity.model, identity.stepping)
    return "".join(
        f"{word}{value}" for word, value in zip(words, values, strict=True) if value is not None
    )


def _slug(text: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    kept = "-".join(word for word in words if word not in ("r", "tm", "cpu", "processor"))
    return kept[:_NAME].strip("-")


# --- /proc/cpuinfo


def _blocks(text: str) -> list[dict[str, str]]:
    """Its blocks, one a core (and one of the whole machine, on some Arm kernels)."""
    blocks: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        lines = (line.partition(":") for line in block.splitlines())
        fields: dict[str, str] = {}
        for name, colon, value in lines:
            if colon and value.strip():
                fields.setdefault(name.strip(), value.strip())
        blocks.append(fields)
    return blocks


def _instruction_sets(blocks: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Those that every core has: a program may be moved to any of them."""
    texts = [block.get("flags") or block.get("Features") for block in blocks]
    words = [set(text.split()) for text in texts if text]
    common = set.intersection(*words) if words else set()
    return tuple(name for name in INSTRUCTION_SETS if name in common)


def _cache_of(blocks: Sequence[Mapping[str, str]]) -> tuple[CpuCache, ...]:
    match = re.match(
        r"(\d{1,9}) KB$", next((b["cache size"] for b in blocks if "cache size" in b), "")
    )
    return (CpuCache(size_kb=int(match[1])),) if match else ()


def _kind(block: Mapping[str, str]) -> CoreKind | None:
    implementer, part = _hex(block.get("CPU implementer")), _hex(block.get("CPU part"))
    if implementer is None or part is None:
        return None
    variant = _hex(block.get("CPU variant"))
    return CoreKind(
        implementer=f"{implementer:#04x}",
        part=f"{part:#05x}",
        variant=None if variant is None else f"{variant:#x}",
    )


def _kind_of_midr(value: int) -> CoreKind:
    return CoreKind(
        implementer=f"{value >> 24 & 0xFF:#04x}",
        part=f"{value >> 4 & 0xFFF:#05x}",
        variant=f"{value >> 20 & 0xF:#x}",
    )


def _counted(kinds: Iterable[CoreKind]) -> tuple[CoreKind, ...]:
    """Each kind once, with the number of its cores, by implementer and part."""
    counts = Counter(kinds)
    order = sorted(counts, key=lambda kind: (kind.implementer, kind.part, kind.variant or ""))
    return tuple(kind.model_copy(update={"cores": counts[kind]}) for kind in order)


def _plain(text: str | None) -> str | None:
    """A short word in ASCII: a phone may answer anything."""
    return text if text and re.fullmatch(r"[ -~]{1,40}", text) else None


def _hex(text: str | None) -> int | None:
    return int(text, 16) if text and re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text) else None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"\d{1,9}", text) else None
