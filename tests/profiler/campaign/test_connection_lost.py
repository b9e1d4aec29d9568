"""A broken cable is nobody's fault: nothing is blamed, nothing lost, and there is an end."""

from collections.abc import Iterator

import pytest

from device_agents.protocol import Begin, Plan, Record
from device_agents.simulated.agent import SimulatedAgent
from device_agents.simulated.truth import Truth
from profiler.cli.campaign import resume_remedy
from search.errors import ConnectionLost
from tests.profiler.campaign.test_interruption import check_whole


class Cut(SimulatedAgent):
    """Loses the connection after so many records of every run."""

    after = 0
    runs = 0

    def run(self, plan: Plan) -> Iterator[Record]:
        self.runs += 1
        for number, record in enumerate(super().run(plan)):
            if number >= self.after:
                raise ConnectionLost("The cable was pulled.")
            yield record


class CutLoading(SimulatedAgent):
    """Loses it three times while the very same item is loaded."""

    left = 3

    def run(self, plan: Plan) -> Iterator[Record]:
        for record in super().run(plan):
            yield record
            if isinstance(record, Begin) and record.item == 7 and self.left:
                self.left -= 1
                raise ConnectionLost("The cable was pulled.")


def test_a_connection_that_breaks_again_and_again_costs_no_operator(bench) -> None:
    agent = Cut(bench.agent_settings(), Truth())
    agent.after = 300
    table = bench.measure(agent=agent)
    assert agent.runs > 4
    check_whole(table)


def test_the_item_that_was_being_loaded_is_not_to_blame(bench) -> None:
    agent = CutLoading(bench.agent_settings(), Truth())
    check_whole(bench.measure(agent=agent))
    assert agent.left == 0


def test_a_connection_that_never_holds_is_given_up_with_the_journal_kept(bench) -> None:
    agent = Cut(bench.agent_settings(), Truth())
    with pytest.raises(ConnectionLost):
        bench.measure(agent=agent)
    assert agent.runs == 5
    assert bench.journals()


def test_the_command_that_goes_on_is_the_users_own_once_resumed() -> None:
    words = ["profiler", "--device", "pixel", "--context", "a=b c", "--restart"]
    assert resume_remedy(words).endswith(
        "python -m profiler --device pixel --context 'a=b c' --resume"
    )
