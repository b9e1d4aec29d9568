"""What the name of a folder says of its part in a split: training, validation, test."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["train", "val", "test"]

# Among those for evaluation, earlier words go first: ImageNet's test images have no labels.
_WORDS: Mapping[str, Kind] = {
    "train": "train", "training": "train", "trainset": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "valset": "val",
    "dev": "val", "devel": "val", "development": "val", "devset": "val",
    "eval": "val", "evaluation": "val", "evalset": "val",
    "test": "test", "testing": "test", "testset": "test", "tst": "test",
}  # fmt: skip
_ORDER = {word: place for place, word in enumerate(_WORDS)}
_TOKEN = re.compile(r"[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Role:
    """A folder's part in a split; `rest` are the other words of its name."""

    kind: Kind
    word: str
    rest: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Of several folders for evaluation, the one of the lowest rank is taken."""
        return _ORDER[self.word]


def role_of(name: str) -> Role | None:
    """The role that a name states in any case: `Val`, `train2017`, `cifar_test`, `TestImages`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    tokens = _TOKEN.findall(spaced.lower())
    words = [token for token in tokens if token in _WORDS]
    if len(words) != 1:
        return None
    rest = tuple(token for token in tokens if token != words[0])
    return Role(_WORDS[words[0]], words[0], rest)


def roles_of(names: Iterable[str]) -> dict[str, Role]:
    """Roles of sibling folders, by name.

    A name of more words states one only beside its counterpart: `cifar_train` beside
    `cifar_test`. A class may be called "bullet train" or "test tube".
    """
    stated = {name: role for name in names if (role := role_of(name))}
    return {
        name: role
        for name, role in stated.items()
        if not role.rest
        or any(
            other.rest == role.rest and (other.kind == "train") != (role.kind == "train")
            for other in stated.values()
        )
    }
