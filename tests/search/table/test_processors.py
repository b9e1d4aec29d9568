"""Whether two devices have the same processor, by facts or by name."""

from typing import Any

import pytest

from search.table.manifest import CoreKind, CpuCache, CpuIdentity, DeviceInfo
from search.table.processors import (
    compare_devices,
    compare_processors,
    differing_facts,
    is_general_name,
)

ZEN4 = CpuIdentity(
    vendor="AuthenticAMD",
    family=25,
    model=17,
    stepping=0,
    instruction_sets=("avx2", "avx512f"),
    caches=(CpuCache(level=3, kind="unified", size_kb=32768),),
    cores=2,
)
S23 = CpuIdentity(kinds=(CoreKind(implementer="0x41", part="0xd4e", variant="0x1", cores=1),))


def host(**changes: Any) -> DeviceInfo:
    return DeviceInfo(**{"id": "host", "kind": "host", "cpu": "AMD EPYC", **changes})


@pytest.mark.parametrize(
    "name",
    [
        "AMD EPYC",
        "AMD EPYC Processor",
        "AMD EPYC-Milan Processor",
        "AMD EPYC-Rome-v4 Processor",
        "Intel Xeon Processor (Skylake, IBRS)",
        "Intel(R) Xeon(R) Processor @ 2.50GHz",
        "Intel(R) Xeon(R) CPU @ 2.20GHz",
        "Intel Xeon E312xx (Sandy Bridge)",
        "Westmere E56xx/L56xx/X56xx (Nehalem-C)",
        "Genuine Intel(R) CPU 0000%@",
        "QEMU Virtual CPU version 2.5+",
        "QEMU TCG CPU version 2.5+",
        "Virtual CPU 714389bda930",
        "Common KVM processor",
        "Common 32-bit KVM processor",
        "ARMv8 Processor rev 0 (v8l)",
        "ARMv7 Processor rev 5 (v7l)",
        "AArch64 Processor rev 14 (aarch64)",
        "BCM2835",
        "x86_64",
        "arm64",
        "Dummy Virtual Machine",
    ],
)
def test_a_name_without_a_model_number_is_general(name: str) -> None:
    assert is_general_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "AMD EPYC 7763 64-Core Processor",
        "AMD EPYC 9R14",
        "AMD Ryzen 9 5950X 16-Core Processor",
        "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz",
        "Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz",
        "Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz",
        "Intel(R) N100",
        "Qualcomm Technologies, Inc SM8550",
        "Tensor G3",
    ],
)
def test_a_name_with_a_model_number_is_not(name: str) -> None:
    assert not is_general_name(name)


@pytest.mark.parametrize(
    ("old", "new", "verdict", "words"),
    [
        ({}, {}, "unknown", "many machines are named AMD EPYC"),
        ({}, {"processor": ZEN4}, "unknown", "many machines are named AMD EPYC"),
        ({"processor": ZEN4}, {"processor": ZEN4}, "same", "both ran on AMD EPYC"),
        (
            {"processor": ZEN4.model_copy(update={"family": None})},
            {"processor": ZEN4},
            "unknown",
            "many machines",
        ),
        ({"cpu": "AMD EPYC 7763"}, {"cpu": "AMD EPYC 7763"}, "same", "both ran on AMD EPYC 7763"),
        (
            {"cpu": "AMD EPYC 7763", "processor": ZEN4},
            {"cpu": "AMD EPYC 7763"},
            "same",
            "both ran on AMD EPYC 7763",
        ),
        (
            {"cpu": "AMD EPYC 7763", "processor": ZEN4},
            {"cpu": "AMD EPYC 7713", "processor": ZEN4},
            "different",
            "AMD EPYC 7763 and AMD EPYC 7713",
        ),
        (
            {"cpu": "AMD EPYC Processor", "processor": ZEN4},
            {"processor": ZEN4},
            "same",
            "both ran on",
        ),
        ({}, {"cpu": "Intel Xeon Processor"}, "different", "AMD EPYC and Intel Xeon Processor"),
        (
            {"cpu": None, "soc": "ARMv8 Processor rev 0 (v8l)"},
            {"cpu": None, "soc": "NVIDIA Carmel", "processor": S23},
            "unknown",
            "not known to be the same processor: ARMv8 Processor rev 0 (v8l) and NVIDIA Carmel",
        ),
        ({"cpu": None}, {}, "unknown", "not both name their processor"),
    ],
)
def test_the_facts_decide_and_a_name_only_if_it_holds_a_model_number(
    old: dict[str, Any], new: dict[str, Any], verdict: str, words: str
) -> None:
    likeness = compare_processors(host(**old), host(**new))
    assert likeness.verdict == verdict
    assert words in likeness.reason
    assert (likeness.name is None) == (verdict != "same")
    # The same either way round.
    assert compare_processors(host(**new), host(**old)).verdict == verdict


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vendor": "GenuineIntel"}, ("vendor", ("AuthenticAMD", "GenuineIntel"))),
        ({"stepping": 1}, ("stepping", (0, 1))),
        ({"cores": 4}, ("cores", (2, 4))),
        (
            {"caches": (CpuCache(level=1, kind="data", size_kb=48),)},
            ("caches", ("L3 32768 KiB", "L1d 48 KiB")),
        ),
        (
            {"instruction_sets": ("avx2",)},
            ("instruction sets", ("with avx512f", "without")),
        ),
    ],
)
def test_a_fact_that_differs_is_named(change: dict[str, Any], words: tuple[str, Any]) -> None:
    other = ZEN4.model_copy(update=change)
    assert differing_facts(ZEN4, other) == (words,)
    likeness = compare_processors(host(processor=ZEN4), host(processor=other))
    assert likeness.verdict == "different"
    assert words[0] in likeness.reason


def test_what_one_side_does_not_know_is_no_difference() -> None:
    bare = CpuIdentity(family=25, model=17)
    assert differing_facts(ZEN4, bare) == ()
    assert differing_facts(bare, ZEN4) == ()


def test_kinds_of_cores_are_compared_with_their_numbers_where_both_count_them() -> None:
    kind = S23.kinds[0]
    more, uncounted = (
        CpuIdentity(kinds=(kind.model_copy(update={"cores": n}),)) for n in (2, None)
    )
    assert differing_facts(S23, more) == (
        ("kinds of cores", ("1x0x41/0xd4e/0x1", "2x0x41/0xd4e/0x1")),
    )
    assert differing_facts(S23, uncounted) == ()


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({"kind": "android", "id": "a"}, {"kind": "android", "id": "a"}, "same"),
        ({"kind": "android", "id": "a"}, {"kind": "android", "id": "b"}, "different"),
        ({"kind": "host", "id": "a"}, {"kind": "rehearsal", "id": "a"}, "different"),
        ({"kind": "simulated", "id": "a"}, {"kind": "simulated", "id": "a"}, "same"),
        (
            {"kind": "ios", "id": "iphone", "model": "iPhone10,3"},
            {"kind": "ios", "id": "iphone", "model": "iPhone12,1"},
            "different",
        ),
        ({"id": "old", "processor": ZEN4}, {"id": "new", "processor": ZEN4}, "same"),
        ({"id": "one"}, {"id": "one"}, "unknown"),
        (
            {"kind": "rehearsal", "processor": ZEN4},
            {"kind": "rehearsal", "processor": ZEN4.model_copy(update={"model": 1})},
            "different",
        ),
    ],
)
def test_a_phone_is_known_by_its_id_and_a_machine_by_its_processor(
    old: dict[str, Any], new: dict[str, Any], verdict: str
) -> None:
    assert compare_devices(host(**old), host(**new)).verdict == verdict
