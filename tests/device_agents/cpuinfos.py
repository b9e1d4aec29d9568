"""/proc/cpuinfo of machines and phones, as their kernels print it."""

from collections.abc import Sequence

# --- x86: one block a core


def x86(
    name: str,
    *,
    vendor: str = "AuthenticAMD",
    signature: tuple[int, int, int],
    flags: str,
    cores: int = 2,
    mhz: float = 2596.142,
    microcode: str = "0x1000065",
    cache_kb: int = 512,
) -> str:
    """The file of an x86 machine; `signature` is family, model and stepping."""
    family, model, stepping = signature
    blocks = [
        f"""processor\t: {core}
vendor_id\t: {vendor}
cpu family\t: {family}
model\t\t: {model}
model name\t: {name}
stepping\t: {stepping}
microcode\t: {microcode}
cpu MHz\t\t: {mhz + core:.3f}
cache size\t: {cache_kb} KB
physical id\t: 0
siblings\t: {cores}
core id\t\t: {core}
cpu cores\t: {cores}
apicid\t\t: {core}
fpu\t\t: yes
cpuid level\t: 28
wp\t\t: yes
flags\t\t: {flags}
bugs\t\t: sysret_ss_attrs null_seg spectre_v1 spectre_v2
bogomips\t: {2 * mhz:.2f}
clflush size\t: 64
address sizes\t: 48 bits physical, 48 bits virtual
power management:
"""
        for core in range(cores)
    ]
    return "\n".join(blocks) + "\n"


AVX2 = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse "
    "sse2 ht syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl cpuid "
    "extd_apicid tsc_known_freq pni pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe "
    "popcnt aes xsave avx f16c rdrand hypervisor lahf_lm cmp_legacy abm sse4a misalignsse "
    "3dnowprefetch osvw topoext fsgsbase bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap "
    "clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 xsaves clzero vaes vpclmulqdq rdpid fsrm"
)
AVX512 = (
    f"{AVX2} avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512_bf16 avx512vbmi "
    "avx512_vbmi2 gfni avx512_vnni avx512_bitalg avx512_vpopcntdq"
)
ZEN3 = x86("AMD EPYC", signature=(25, 1, 1), flags=AVX2)
ZEN4 = x86("AMD EPYC", signature=(25, 17, 1), flags=AVX512, cache_kb=1024)
ZEN5 = x86("AMD EPYC", signature=(26, 2, 1), flags=f"{AVX512} avx_vnni movdiri", cache_kb=1024)
CASCADE_LAKE = x86(
    "Intel Xeon Processor (Cascadelake)",
    vendor="GenuineIntel",
    signature=(6, 85, 6),
    flags=f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni",
    cache_kb=16384,
)
SKYLAKE = x86(
    "Intel(R) Xeon(R) CPU @ 2.00GHz",
    vendor="GenuineIntel",
    signature=(6, 85, 3),
    flags=f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl",
    cache_kb=39424,
)
RYZEN = x86(
    "AMD Ryzen 9 5950X 16-Core Processor", signature=(25, 33, 0), flags=AVX2, cores=4, mhz=3400.0
)

# --- Arm: one block a core, sometimes one of the whole machine after them

ARM_V8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32"
ARM_V82 = f"{ARM_V8} atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
ARM_V9 = (
    f"{ARM_V82} sha3 sm3 sm4 asimdfhm dit uscat ilrcpc flagm sb paca pacg dcpodp sve2 sveaes "
    "svebitperm svesha3 svesm4 flagm2 frint svei8mm svebf16 i8mm bf16 dgh bti"
)


def arm(
    cores: Sequence[tuple[str, str, str]],
    *,
    features: str,
    name: str | None = None,
    tail: str = "",
    bogomips: float = 38.4,
) -> str:
    """The file of an Arm machine; each core is implementer, part and variant."""
    model = "" if name is None else f"model name\t: {name}\n"
    blocks = [
        f"""processor\t: {core}
{model}BogoMIPS\t: {bogomips:.2f}
Features\t: {features}
CPU implementer\t: {implementer}
CPU architecture: 8
CPU variant\t: {variant}
CPU part\t: {part}
CPU revision\t: {core % 2}
"""
        for core, (implementer, part, variant) in enumerate(cores)
    ]
    return "\n".join([*blocks, tail])


_CARMEL = ("0x4e", "0x004", "0x0")
XAVIER_NX = arm([_CARMEL] * 6, features=ARM_V82, name="ARMv8 Processor rev 0 (v8l)", bogomips=62.5)
XAVIER_AGX = arm([_CARMEL] * 8, features=ARM_V82, name="ARMv8 Processor rev 0 (v8l)", bogomips=62.5)
_A57, _DENVER = ("0x41", "0xd07", "0x1"), ("0x4e", "0x003", "0x0")
TX2 = arm(
    [_A57, _DENVER, _DENVER, _A57, _A57, _A57],
    features=ARM_V8,
    name="ARMv8 Processor rev 3 (v8l)",
    bogomips=62.5,
)
PI_4 = arm(
    [("0x41", "0xd08", "0x0")] * 4,
    features="fp asimd evtstrm crc32 cpuid",
    tail="Hardware\t: BCM2835\nRevision\t: c03111\nSerial\t\t: 10000000aabbccdd\n"
    "Model\t\t: Raspberry Pi 4 Model B Rev 1.1\n",
    bogomips=108.0,
)
PI_5 = arm(
    [("0x41", "0xd0b", "0x4")] * 4,
    features=ARM_V82,
    tail="Revision\t: d04170\nSerial\t\t: 10000000ddccbbaa\n"
    "Model\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    bogomips=108.0,
)
# A 32-bit kernel states the cores' kind once, after all of them.
PI_2_32BIT = """processor\t: 0
model name\t: ARMv7 Processor rev 5 (v7l)
BogoMIPS\t: 38.40
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae

processor\t: 1
model name\t: ARMv7 Processor rev 5 (v7l)
BogoMIPS\t: 38.40
Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae

CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x0
CPU part\t: 0xc07
CPU revision\t: 5

Hardware\t: BCM2835
Revision\t: a01041
"""
ALTRA = arm([("0x41", "0xd0c", "0x3")] * 4, features=ARM_V82, bogomips=50.0)
GRAVITON_3 = arm(
    [("0x41", "0xd40", "0x1")] * 4, features=f"{ARM_V82} asimdfhm sve i8mm bf16", bogomips=2100.0
)
_A510, _A710, _A715, _X3 = (("0x41", part, "0x1") for part in ("0xd46", "0xd47", "0xd4d", "0xd4e"))
GALAXY_S23 = arm(
    [_A510, _A510, _A510, _A715, _A715, _A710, _A710, _X3],
    features=ARM_V9,
    tail="Hardware\t: Qualcomm Technologies, Inc SM8550\n",
)

MACHINES = {
    "zen3": ZEN3,
    "zen4": ZEN4,
    "zen5": ZEN5,
    "cascade lake": CASCADE_LAKE,
    "skylake": SKYLAKE,
    "ryzen": RYZEN,
    "xavier nx": XAVIER_NX,
    "xavier agx": XAVIER_AGX,
    "tx2": TX2,
    "pi 2": PI_2_32BIT,
    "pi 4": PI_4,
    "pi 5": PI_5,
    "altra": ALTRA,
    "graviton 3": GRAVITON_3,
    "galaxy s23": GALAXY_S23,
}
