"""Phones and boards by name, as they describe themselves, for the arm64 mode.

Their names, clusters and clocks are those of the real ones, so that what a phone's answers
decide is tried; the maker begins with the kit's own name, which marks every result as a
rehearsal. Instruction sets are those of the emulated processor, since programs run on it.
"""

from collections.abc import Mapping

from .phone import Cluster, Phone


def _phone(maker: str, model: str, device: str, **facts: object) -> Phone:
    known = {
        "manufacturer": f"fbnet-kit {maker}",
        "model": model,
        "name": device,
        "device": device,
        "abi": "arm64-v8a",
        "emulated_cpu": "cortex-a76",
        "serial": f"loopback-{device}",
    }
    return Phone(**{**known, **facts})  # type: ignore[arg-type]


def _cluster(
    first: int,
    last: int,
    part: str,
    max_khz: int,
    capacity: int,
    related: tuple[int, ...] | None = None,
) -> Cluster:
    cpus = tuple(range(first, last + 1))
    return Cluster(cpus=cpus, part=part, max_khz=max_khz, capacity=capacity, related=related)


PHONES: Mapping[str, Phone] = {
    "pixel-6": _phone(
        *("Google", "Pixel 6", "oriole"),
        soc_manufacturer="Google",
        soc_model="Tensor",
        clusters=(
            _cluster(0, 3, "0xd05", 1_803_000, 160),
            _cluster(4, 5, "0xd0b", 2_253_000, 498),
            _cluster(6, 7, "0xd44", 2_802_000, 1024),
        ),
    ),
    "pixel-8": _phone(
        *("Google", "Pixel 8", "shiba"),
        soc_manufacturer="Google",
        soc_model="Tensor G3",
        clusters=(
            _cluster(0, 3, "0xd46", 1_704_000, 166),
            _cluster(4, 7, "0xd4d", 2_367_000, 615),
            _cluster(8, 8, "0xd4e", 2_914_000, 1024),
        ),
    ),
    "galaxy-s23": _phone(
        *("samsung", "SM-S911B", "dm1q"),
        soc_manufacturer="QTI",
        soc_model="SM8550",
        clusters=(
            _cluster(0, 2, "0xd46", 2_016_000, 326),
            _cluster(3, 4, "0xd4d", 2_803_200, 693, related=(3, 4, 5, 6)),
            _cluster(5, 6, "0xd47", 2_803_200, 693, related=(3, 4, 5, 6)),
            _cluster(7, 7, "0xd4e", 3_360_000, 1024),
        ),
    ),
    "galaxy-s24": _phone(
        *("samsung", "SM-S921U", "e1q"),
        soc_manufacturer="QTI",
        soc_model="SM8650",
        clusters=(
            _cluster(0, 1, "0xd80", 2_265_600, 379),
            _cluster(2, 4, "0xd81", 3_148_800, 923),
            _cluster(5, 6, "0xd81", 2_956_800, 867),
            _cluster(7, 7, "0xd82", 3_398_400, 1024),
        ),
    ),
    # Programs of 32 bits on a 64-bit kernel: its kernel runs the runtime all the same.
    "galaxy-a10": _phone(
        *("samsung", "SM-A105F", "a10"),
        abi="armeabi-v7a",
        machine="armv8l",
        emulated_cpu="cortex-a53",
        sdk=30,
        release="11",
        clusters=(
            _cluster(0, 5, "0xd03", 1_352_000, 452),
            _cluster(6, 7, "0xd09", 1_560_000, 1024),
        ),
    ),
    # As Android 7 was: no thermal service, no fixed-performance mode, no sha256sum.
    "moto-g5": _phone(
        *("motorola", "Moto G (5)", "cedric"),
        emulated_cpu="cortex-a53",
        sdk=24,
        release="7.0",
        missing=("sha256sum",),
        clusters=(_cluster(0, 7, "0xd03", 1_401_600, 1024),),
    ),
    "vim3": _phone(
        *("Khadas", "VIM3", "kvim3"),
        emulated_cpu="cortex-a53",
        sdk=28,
        release="9",
        battery_present=False,
        clusters=(
            _cluster(0, 1, "0xd03", 1_800_000, 474),
            _cluster(2, 5, "0xd09", 2_208_000, 1024),
        ),
    ),
}
