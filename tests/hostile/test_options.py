"""Options of absurd size: refused in a sentence before any work, by a dry run too."""

import pytest

from tests.hostile.conftest import Material
from tests.hostile.watchdog import run

ABSURD = ("nan", "inf", "-1", "1e300", "9" * 30, "9" * 5000, "\x1b[2J", "１２\u0661e", "")
NUMBERS = (
    "--threads", "--seed", "--iterations", "--warmup", "--min-time", "--timeout", "--cooldown",
    "--max-temp", "--networks", "--precision", "--budget", "--max-operators", "--resolution",
    "--classes", "--head", "--width", "--affinity",
)  # fmt: skip
# No budget, a limit that is never met, and more operators than there are.
MEANINGFUL = {("--budget", ""), ("--max-temp", "-1"), ("--max-operators", "9" * 30)}
SEARCHES = ("--target-ms", "--probability", "--epochs", "--batch", "--limit", "--seed", "--budget")


@pytest.mark.parametrize("option", NUMBERS)
def test_a_measurement_refuses_absurd_numbers(material: Material, option: str) -> None:
    words = ("profiler", "--device", "simulated", "--space", "fbnet-mini", "--dry-run")
    for value in ABSURD:
        ended = run(*words, "-o", material.path("none"), option, value)
        assert ended.faults() == [], ended.told
        assert ended.code == (0 if (option, value) in MEANINGFUL else 2), ended.told


@pytest.mark.parametrize("option", SEARCHES)
def test_a_search_refuses_absurd_numbers(material: Material, option: str) -> None:
    words = ("search", "--table", str(material.table), "--target-ms", "5", "--data", "digits")
    waived = ("--allow-simulated", "-o", material.path("absurd.json"))
    method = ("--algorithm", "random") if option == "--budget" else ()
    for value in ("nan", "inf", "-1", "9" * 5000, "\x1b[2J", ""):
        if (option, value) == ("--target-ms", "inf"):
            continue
        ended = run(*words, *waived, *method, option, value)
        assert ended.faults() == [], ended.told
        assert ended.code == 2, ended.told
