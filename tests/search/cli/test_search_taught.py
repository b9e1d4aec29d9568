"""A search with augmentation, mixing, omissions and a teacher, from the command line."""

import pytest

from tests.search.cli.runner import Desk, is_refusal

CHANGES = (
    "augment.policy=randaugment",
    "augment.erasing=0.5",
    "augment.mixup=0.2",
    "dropout=0.1",
    "drop_path=0.2",
    "schedule.name=steps",
    "schedule.milestones=[0.5]",
)
SET = tuple(word for change in CHANGES for word in ("--set", change))


@pytest.mark.thorough
def test_a_search_learns_from_changed_images_and_a_trained_teacher(desk: Desk) -> None:
    plain = desk.call(*desk.words("--retrain", "--retrain-epochs", "1", output="big.json"))
    assert plain.code == 0, plain.err
    teacher = {
        "distillation.teacher": desk.path("big.json"),
        "distillation.weights": desk.path("big.pt"),
    }
    taught = [word for key, value in teacher.items() for word in ("--set", f"{key}={value}")]
    found = []
    for output in ("one.json", "two.json"):
        ended = desk.call(*desk.words(*SET, *taught, output=output))
        assert ended.code == 0, ended.err
        found.append(desk.json(output))
    assert found[0]["operators"] == found[1]["operators"]
    result = desk.json("one.result.json")
    assert result["recipe"]["mixup"] == 0.2
    assert result["recipe"]["policy"] == "randaugment"
    first, other = (desk.path(f"{name}.run/trace.jsonl").read_text() for name in ("big", "one"))
    assert first.splitlines()[1] != other.splitlines()[1]


def test_a_teacher_of_other_classes_is_refused_before_work(desk: Desk) -> None:
    words = ("--set", "distillation.teacher=FBNet-C", "--set", "distillation.weights=none.pt")
    ended = desk.call(*desk.words(*words))
    assert is_refusal(ended)
    assert "The teacher FBNet-C tells 1000 classes apart" in " ".join(ended.err.split())
