"""Which folders hold the training and which the test images, and where their classes lie.

What is meant is recognised by names and by what the folders hold. Where that is not
certain, nothing is guessed: a network trained on a wrong split looks like any other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.data.layout.image_files import PACKED, files_in, folders_in, loose_images
from search.data.layout.roles import Role, role_of, roles_of
from search.errors import UsageError

LAYOUT = (
    "Give a folder with one sub-folder of images a class, "
    "or with train/ and val/ (or test/) of that form."
)
STATE = "State it: --train-folder FOLDER, and --val-folder FOLDER if there is one, in --data."
_TABLES = (".txt", ".csv", ".tsv", ".json", ".xml", ".mat", ".npy", ".parquet")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a split: class folders by class, and how the part is called."""

    name: str
    root: Path
    classes: Mapping[str, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a folder; `test` is None where it is not split. `notes` are sentences."""

    train: Part
    test: Part | None = None
    notes: tuple[str, ...] = ()


def find_parts(root: Path, train_folder: str | None = None, val_folder: str | None = None) -> Parts:
    """The parts of a folder, by its layout or as stated.

    Args:
        root: The folder.
        train_folder: The one with the training images, in `root`.
        val_folder: The one with the test images; without it a share of the others is taken.

    Raises:
        UsageError: A stated folder is not there, or the layout is not certain.
    """
    if train_folder is not None:
        stated = [_stated(root, "--train-folder", train_folder)]
        if val_folder is not None:
            stated.append(_stated(root, "--val-folder", val_folder))
        return Parts(train=stated[0], test=stated[1] if len(stated) > 1 else None)
    if val_folder is not None:
        raise UsageError("--val-folder needs --train-folder.", STATE)
    root = innermost(root)
    folders = folders_in(root)
    roles = roles_of(folders)
    _refuse_twins(root, roles)
    trains = [name for name, role in roles.items() if role.kind == "train"]
    nested = [name for name in trains if folders_in(folders[name])]
    if len(nested) > 1:
        raise _uncertain(root, f"{_listed(nested)} are both named like training images")
    if nested:
        return _with_train(root, folders, roles, nested[0])
    return _without_train(root, folders, roles, trains)


def innermost(root: Path) -> Path:
    """Archives often hold one folder in which everything lies: that one."""
    while True:
        folders = list(folders_in(root).values())
        if len(folders) != 1 or folders[0].is_symlink() or not folders_in(folders[0]):
            return root
        role = role_of(folders[0].name)
        if role is not None and not role.rest:
            return root
        root = folders[0]


def _stated(root: Path, option: str, name: str) -> Part:
    folder = root / name
    if not folder.is_dir():
        inside = ", ".join(folders_in(root)) or "no folders"
        raise UsageError(
            f"There is no folder {name!r} for {option} in {root}.", f"It has {inside}."
        )
    return _part(folder, name)


def _part(folder: Path, name: str) -> Part:
    """A folder of class folders; one folder round them all is entered."""
    inner = folder
    while len(inside := list(folders_in(inner).values())) == 1 and len(folders_in(inside[0])) > 1:
        inner = inside[0]
    return Part(name=f"{name.rstrip('/')}/", root=inner, classes=folders_in(inner))


# --- a training folder is named ------------------------------------------------------


def _with_train(
    root: Path, folders: Mapping[str, Path], roles: Mapping[str, Role], train: str
) -> Parts:
    part = _part(folders[train], train)
    rivals = sorted((n for n, r in roles.items() if r.kind != "train"), key=lambda n: roles[n].rank)
    others = [name for name in folders if name not in roles]
    nested = [name for name in rivals if _holds_classes(folders[name], part)]
    flat = [name for name in rivals if name not in nested]
    if not rivals and (filled := [name for name in others if _holds_images(folders[name])]):
        raise _uncertain(
            root,
            f"{train}/ is named like training images, and {_listed(filled)} beside it like "
            "classes or other splits",
        )
    if not nested and (labelled := [name for name in flat if roles[name].kind == "val"]):
        raise _unlabelled(root, folders[labelled[0]], train)
    unused = [f"{name}/ is not used." for name in nested[1:]]
    unused += [_flat_sentence(folders[name]) for name in flat]
    unused += [f"{n}/ is not named like a split and not used." for n in others]
    test = _part(folders[nested[0]], nested[0]) if nested else None
    return Parts(train=part, test=test, notes=tuple(unused))


def _holds_classes(folder: Path, train: Part) -> bool:
    """Whether a folder has class folders; one that holds all images (`val/images`) is none."""
    inside = _part(folder, folder.name).classes
    return len(inside) > 1 or bool(set(inside) & set(train.classes))


def _holds_images(folder: Path) -> bool:
    return next(loose_images(folder), None) is not None or any(
        _holds_images(inside) for inside in folders_in(folder).values()
    )


def _flat_sentence(folder: Path) -> str:
    return f"{folder.name}/ holds no class folders: its images have no labels and are not used."


def _unlabelled(root: Path, folder: Path, train: str) -> UsageError:
    inner = [folder, *folders_in(folder).values()]
    notes = [name for place in (*inner, root) for name in files_in(place, _TABLES)]
    where = f"its labels seem to stand in {notes[0]}" if notes else "nothing says what they show"
    return UsageError(
        f"{folder} holds its images in no class folders; {where}, which is not read.",
        f"Sort them into class folders like those of {train}/, or hold out a share of the training "
        f"images: --train-folder {train}",
    )


# --- no training folder is named -----------------------------------------------------


def _without_train(
    root: Path, folders: Mapping[str, Path], roles: Mapping[str, Role], flat_trains: list[str]
) -> Parts:
    tests = [name for name, role in roles.items() if role.kind != "train"]
    nested = [name for name in tests if folders_in(folders[name])]
    classes = [name for name in folders if name not in tests]
    if flat_trains and tests:
        raise UsageError(
            f"{root} is split into {_listed([*flat_trains, *tests])}, "
            "and their images lie in no class folders.",
            "Sort them into class folders: train/cat/1.jpg, train/dog/2.jpg.",
        )
    if tests and not classes:
        raise UsageError(f"{root} holds {tests[0]}/ but no train/.", LAYOUT)
    if nested:
        return _classes_beside_test(root, folders, classes, nested)
    inverted = _inverted(root, folders)
    if inverted is not None:
        return inverted
    _refuse_lookalikes(root, folders)
    part = Part(name="", root=root, classes={name: folders[name] for name in classes})
    sentences = tuple(_flat_sentence(folders[name]) for name in tests)
    return Parts(train=part, notes=sentences)


def _classes_beside_test(
    root: Path, folders: Mapping[str, Path], classes: list[str], nested: list[str]
) -> Parts:
    test = _part(folders[nested[0]], nested[0])
    if len(nested) > 1 or set(test.classes) != set(classes):
        raise _uncertain(
            root,
            f"{_listed(nested)} is named like a split, and {_listed(classes)} are other folders",
        )
    part = Part(name="", root=root, classes={name: folders[name] for name in classes})
    return Parts(train=part, test=test)


def _inverted(root: Path, folders: Mapping[str, Path]) -> Parts | None:
    """Classes that are each divided (`cat/train`, `cat/val`), where all of them are alike."""
    inside = {name: roles_of(folders_in(path)) for name, path in folders.items()}
    names = [set(roles) for roles in inside.values()]
    if len(folders) < 2 or not names[0] or any(other != names[0] for other in names):
        return None
    roles = next(iter(inside.values()))
    trains = [name for name, role in roles.items() if role.kind == "train"]
    tests = sorted((n for n, r in roles.items() if r.kind != "train"), key=lambda n: roles[n].rank)
    if len(trains) != 1 or not tests:
        return None

    def part(split: str) -> Part:
        classes = {name: path / split for name, path in folders.items()}
        return Part(name=f"*/{split}/", root=root, classes=classes)

    unused = tuple(f"*/{name}/ is not used." for name in tests[1:])
    return Parts(train=part(trains[0]), test=part(tests[0]), notes=unused)


def _refuse_lookalikes(root: Path, folders: Mapping[str, Path]) -> None:
    """Ask whether folders that all hold the same folders, and nothing else, are classes."""
    inside = [frozenset(folders_in(path)) for path in folders.values()]
    alike = 2 <= len(folders) <= _SHOWN and len(inside[0]) > 1 and len(set(inside)) == 1
    if alike and not any(next(loose_images(path), None) for path in folders.values()):
        raise UsageError(
            f"{_listed(folders)} in {root} hold the same folders ({_listed(inside[0])}): "
            "parts of a split, or classes?",
            f"{STATE} If they are the classes: --train-folder .",
        )


def _refuse_twins(root: Path, roles: Mapping[str, Role]) -> None:
    """`Train` beside `train`: names that differ by their case alone."""
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    for name, role in roles.items():
        if (role.word, role.rest) in seen:
            pair = [seen[role.word, role.rest], name]
            raise _uncertain(root, f"{_listed(pair)} are named alike")
        seen[role.word, role.rest] = name


def _uncertain(root: Path, why: str) -> UsageError:
    return UsageError(f"It is not certain how {root} is split: {why}.", STATE)


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def packed_remedy(root: Path) -> str:
    """What to do about archives that lie in a folder; empty without any."""
    packed = files_in(root, PACKED)
    if not packed:
        return ""
    return f"It holds archives ({_listed(packed)}): unpack them there, or give one of them."
