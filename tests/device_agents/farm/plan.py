"""How large a history is, and how long things take in it."""

from dataclasses import dataclass
from typing import Literal, get_args

Bug = Literal[
    "",
    "token not checked",
    "late results kept",
    "renewal by traffic",
    "torn journal",
    "endless leases",
    "equal tokens",
]
BUGS: tuple[Bug, ...] = get_args(Bug)[1:]
TTL_S = 60.0
SEEN_EVERY_S = 15.0
# Clocks that differ by 2 %, messages of up to 20 s, one round of sightings.
SLACK_S = 45.0
LONGEST_S = 9000.0
CAMPAIGN = "campaign"
# Statements after which it hurts most to die.
STEPS = (
    "UPDATE tasks SET done",
    "UPDATE tasks SET holder",
    "UPDATE phones SET token",
    "INSERT INTO leases",
    "DELETE FROM leases",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large a history is; `bug` plants an error that must be found."""

    phones: int = 50
    hosts: int = 8
    users: int = 20
    tasks: int = 100
    faults: int = 12
    faults_s: float = 400.0
    bug: Bug = ""
