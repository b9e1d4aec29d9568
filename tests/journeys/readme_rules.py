"""What stands in for what a README's reader has, and what cannot be run without it.

A command runs as it is printed, but for these rules. Each of them says why.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """For all commands in which this pattern is found; `words` depend on the rule's kind."""

    pattern: str
    why: str
    words: str = ""

    def fits(self, line: str) -> bool:
        """Whether the rule is for this command line."""
        return re.search(self.pattern, line) is not None


# Never run here; the first that fits gives the reason.
NOT_RUN = (
    Rule(r"^make (profile|network)", "it installs: tests/journeys/first_hour.py runs it"),
    Rule(r"^make (test|check)", "it is the test suite itself"),
    Rule(r"-m tests\.journeys", "it is a journey of its own"),
    Rule(r"tests[./]benchmarks", "an experiment of hours; its figures stand beside it"),
    Rule(r"device_agents\.cross", "it needs ExecuTorch's sources and the NDK"),
    Rule(r" farm |--farm ", "it needs several hosts: tests/benchmarks/check_farm_hosts.py"),
    Rule(r"--device iphonex( +#.*)?$", "it needs an iPhone at the cable"),
    Rule(r"--records job", "it needs the records of an iPhone"),
    Rule(r"fbnetc_100\.pth", "it needs the weights that timm publishes, and ImageNet"),
)
# Needs a phone: a stand-in, whose arm64 programs run under qemu.
PHONE = re.compile(r"--device (pixel|android)\b(?!.*--connect)")
_FEW = "--space fbnet-mini --filter _e1_m16_g1.*_o16 --fast --iterations 4 --min-time 200"
# Words that are added, so that a command ends in minutes on two cores.
SMALLER = (
    Rule(r"-m profiler --device pixel --max-operators", "hours under qemu", "--dry-run"),
    Rule(r"-m profiler --device (pixel|android)(?!.*--filter)", "hours under qemu", _FEW),
    Rule(r"--connect .*--filter", "hours under qemu", "--iterations 4 --min-time 200"),
    Rule(r"-m profiler --device host( --budget| --max|$)", "minutes", "--space fbnet-mini --fast"),
    Rule(r"--space fbnetv2-f", "18 minutes", "--dry-run"),
    Rule(r"--prepare job", "minutes of exporting", "--space fbnet-mini --filter _e1_m16 --fast"),
    Rule(r"search --table TABLE --recipe fp-nas", "60 epochs of 1,797 images", "--limit 32"),
    Rule(r"train net\.json --recipe mine", "350 epochs", "--epochs 1 --limit 64"),
    Rule(r"search sweep", "24 searches", "--epochs 2 --limit 24 --seeds 0"),
    Rule(r"-m profiler refine", "minutes", "--fast"),
)
# Texts that are replaced, in this order: placeholders, and values for them.
STAND_INS: Mapping[str, tuple[Rule, ...]] = {
    "search/README.md": (
        Rule(r"(zero-cost.*)-o net\.json", "the search above wrote that", r"\1-o other.json"),
        Rule(r"\b(PIXEL|TABLE|T1)\b", "a committed table of small networks", "{mini}"),
        Rule(r"\b(IPHONE|T2)\b", "a copy of it", "{mini_copy}"),
        Rule(r"--target-ms 20", "a target that binds there", "--target-ms 0.09"),
        Rule(r"mflops=300", "a limit that binds there", "mflops=6"),
        Rule(r"={mini_copy}=8|{mini_copy}=8", "a limit that binds there", "{mini_copy}=0.1"),
        Rule(r"mparams=5", "a limit that binds there", "mparams=0.1"),
        Rule(r"--scores S\b", "those of the search above", "--scores net.run/scores.json"),
    ),
    "profiler/README.md": (
        Rule(r"TABLE TABLE", "two committed tables", "{fp32} {int8}"),
        Rule(r"refine TABLE", "a committed table of small networks", "refine {mini}"),
        Rule(r"\b(TABLE|OLD)\b", "a committed table", "{fp32}"),
        Rule(r"mobile_trim\.yaml", "the published file", "{proxylessnas}"),
        Rule(r"--sustain 10m", "minutes of load", "--sustain 2m"),
    ),
    "device_agents/README.md": (
        Rule(r"\bHOST_TABLE\b", "a committed table of small networks", "{mini}"),
        Rule(r"\bREHEARSAL_TABLE\b", "the table of the line above", "{rehearsal}"),
        Rule(r"\bTABLE\b", "a committed table", "{fp32}"),
    ),
}
IMAGES = Rule(r"\bIMAGES\b", "144 drawings of three shapes", "{images}")
# What runs beside the commands after it, and what it says when it is ready.
SERVES = (
    Rule(r"-m tests\.loopback", "a phone that stays", r"listening on"),
    Rule(r"search watch", "a page that is served", r"http://127\.0\.0\.1:\d+"),
)
# Exit code 1 is an answer: a busy machine, a target missed, a device that is not there.
MAY_ANSWER_NO = re.compile(
    r"-m profiler (--device|--space|checkup|validate|diff|refine|import|compare .*--device)"
    r"|-m deploy .*--device"
)


def reason_not_to_run(line: str) -> str:
    """Why a command cannot be run here; empty if it can."""
    return next((rule.why for rule in NOT_RUN if rule.fits(line)), "")


def adapted(readme: str, line: str) -> tuple[str, tuple[Rule, ...]]:
    """A command line with all stand-ins in it, as `{names}`, and the rules that changed it."""
    used = []
    more = next((rule for rule in SMALLER if rule.fits(line.partition(" #")[0].rstrip())), None)
    if more is not None:
        line, used = f"{line.partition(' #')[0].rstrip()} {more.words}", [more]
    for rule in (*STAND_INS.get(readme, ()), IMAGES):
        if rule.fits(line):
            line = re.sub(rule.pattern, rule.words, line)
            used.append(rule)
    return line, tuple(used)
