"""Restoring costs from open programs: pure systems of equations with a known answer."""

from dataclasses import replace

import numpy as np
import pytest

from profiler.analysis.shape_adapters import AdapterTime, ChainLine, Shape, adapter_costs

A: Shape = (1, 16, 112, 112)
B: Shape = (1, 24, 56, 56)
C: Shape = (1, 32, 28, 28)
# Dispatch with input and output of each shape; what leads back; operators.
HANDLING = {A: 190.0, B: 160.0, C: 152.0}
BACK = {("A>B"): 8.0, ("B>C"): 3.0}
OPERATORS = {("A>B", 20.0), ("A>B", 90.0), ("B>C", 4.0), ("B>C", 9.0), ("B>C", 40.0)}
ENDS = {"A>B": (A, B), "B>C": (B, C)}


def line(adapter: str, us: float) -> ChainLine:
    start, end = ENDS[adapter]
    return ChainLine(
        start=start,
        end=end,
        slope_us=us + BACK[adapter],
        intercept_us=HANDLING[start],
        alone_us=(HANDLING[start] + HANDLING[end]) / 2 + us,
        adapter=adapter,
    )


def line_at(shape: Shape, us: float) -> ChainLine:
    return ChainLine(start=shape, end=shape, slope_us=us, intercept_us=HANDLING[shape])


def adapters() -> list[AdapterTime]:
    return [
        AdapterTime(
            name=name,
            start=start,
            end=end,
            alone_us=(HANDLING[start] + HANDLING[end]) / 2 + BACK[name],
        )
        for name, (start, end) in ENDS.items()
    ]


def every() -> list[ChainLine]:
    return [
        *(line(*one) for one in sorted(OPERATORS)),
        line_at(A, 10),
        line_at(B, 30),
        line_at(C, 5),
    ]


def test_costs_come_back_whatever_inputs_and_outputs_of_a_shape_take() -> None:
    assert adapter_costs(every(), adapters()) == pytest.approx(BACK)


def test_the_restoring_operators_alone_suffice_without_chains_at_their_ends() -> None:
    found = adapter_costs([line("A>B", 20.0)], adapters()[:1])
    assert found == pytest.approx({"A>B": 8.0})


def test_chains_at_both_ends_suffice_without_the_restoring_operators_alone() -> None:
    assert adapter_costs(every(), []) == pytest.approx(BACK)


def test_what_the_programs_leave_open_is_left_out_not_guessed() -> None:
    closed = [replace(one, alone_us=None) for one in every()]
    assert adapter_costs(closed, []) == {}
    assert adapter_costs([line("A>B", 20.0)], []) == {}


def test_noise_averages_out_over_all_that_share_a_restoring_operator() -> None:
    draw = np.random.default_rng(0)

    def noisy(us: float) -> float:
        return us * float(np.exp(draw.normal(0, 0.005)))

    off = []
    for _ in range(30):
        many = [
            replace(
                one,
                intercept_us=noisy(one.intercept_us),
                alone_us=None if one.alone_us is None else noisy(one.alone_us),
            )
            for one in every() * 4
        ]
        off.append(adapter_costs(many, adapters())["B>C"] - BACK["B>C"])
    assert abs(np.mean(off)) < 0.15
    assert np.std(off) < 0.5  # a single difference of two such programs: 1.1


def test_one_program_that_ran_elsewhere_does_not_move_the_others() -> None:
    many = every() * 3
    many[0] = replace(many[0], alone_us=(many[0].alone_us or 0) * 1.7)
    draw = np.random.default_rng(1)
    many = [replace(o, intercept_us=o.intercept_us * (1 + draw.normal(0, 1e-3))) for o in many]
    assert adapter_costs(many, adapters()) == pytest.approx(BACK, abs=0.5)
