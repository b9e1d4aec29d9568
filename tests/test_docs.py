"""The READMEs against the code: commands, options, paths, links, rooms and sample outputs."""

import re
import runpy
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer", reason="the command lines are built on typer")

import typer
from typer.testing import CliRunner

import fbnet_kit
from search.architecture import write_architecture
from search.operators.modules import build_network
from search.spaces.registry import make_space
from search.training.retrain import write_weights
from tests.readmes import PACKAGES, ROOT, Command, Readme, all_readmes

APPS = {
    "search": "search.cli.app",
    "deploy": "deploy.cli",
    "profiler": "profiler.cli.app",
    "device_agents.cross": "device_agents.cross.cli",
    "device_agents.runtime": "device_agents.runtime.cli",
}
READMES = all_readmes()
# Every command line has them.
_COMMON = ("--version", "--help")


def app_of(module: str) -> typer.Typer:
    app: typer.Typer = import_module(APPS[module]).app
    return app


def _verbs(module: str) -> Iterator[tuple[str, Any]]:
    """Every command of a command line, with the words that call it."""

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        yield words, command
        for name, verb in getattr(command, "commands", {}).items():
            if not verb.hidden:
                yield from walk(verb, f"{words} {name}")

    return walk(typer.main.get_command(app_of(module)), f"python -m {module}")


def _options(command: Any) -> list[str]:
    """The first long spelling of each option that is shown."""
    long = [
        next((name for name in option.opts if name.startswith("--")), None)
        for option in command.params
        if not getattr(option, "hidden", False)
    ]
    return [name for name in long if name and name not in _COMMON]


def _parse(module: str, words: list[str], whole: bool) -> None:
    """Parse a command line without running it.

    Raises:
        Exception: An unknown verb or option; where `whole`, also a missing or a wrong value.
    """
    command: Any = typer.main.get_command(app_of(module))
    while True:
        context = command.context_class(command, info_name=module, **command.context_settings)
        _, rest, _ = command.make_parser(context).parse_args(list(words))
        if not rest or not hasattr(command, "commands"):
            break
        assert rest[0] in command.commands, f"there is no verb {rest[0]!r}"
        command, words = command.commands[rest[0]], rest[1:]
    if whole:
        command.make_context(module, list(words))


def _source(module: str) -> str:
    folder = ROOT / module.replace(".", "/")
    files = sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _problem(command: Command) -> str:
    """Why a command line of a README cannot be typed as it stands there; nothing if it can."""
    words = command.words
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        names = [word.split("=")[0] for word in words[1:]]
        known = [re.search(rf"^{re.escape(name)}\b *[:?]", makefile, re.M) for name in names]
        return "" if all(known) else "no such target or variable"
    if words[0] == "fbnet-kit":
        module = fbnet_kit.PROGRAMS.get(words[1], "profiler")
        rest = words[2:] if words[1] in fbnet_kit.PROGRAMS else words[1:]
        if module == fbnet_kit.PROGRAMS["rehearse"]:
            module = "tests.loopback"
        words = ["python", "-m", module, *rest]
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    module, arguments = (words[2], words[3:]) if words[1] == "-m" else (words[1], words[2:])
    if module in APPS:
        try:
            _parse(module, arguments, command.whole)
        except Exception as error:
            return getattr(error, "format_message", error.__str__)()
        return ""
    module = module.removesuffix(".py").replace("/", ".")
    if module.split(".")[0] not in (*PACKAGES, "tests"):
        return ""
    try:
        source = _source(module)
    except FileNotFoundError:
        return "no such module"
    options = [word.split("=")[0] for word in arguments if word.startswith("--")]
    return ", ".join(option for option in options if option not in source)


def _package_readme(package: str) -> Readme:
    return next(readme for readme in READMES if readme.name == f"{package}/README.md")


# --- commands and options ------------------------------------------------------


@pytest.mark.parametrize("module", APPS)
def test_every_command_and_option_has_help(module: str) -> None:
    silent = [
        f"{words} {parameter.name}"
        for words, command in _verbs(module)
        for parameter in command.params
        if not (getattr(parameter, "help", None) or "").strip()
    ]
    silent += [words for words, command in _verbs(module) if not (command.help or "").strip()]
    assert silent == []


@pytest.mark.parametrize("module", APPS)
def test_every_command_stands_in_a_readme(module: str) -> None:
    lines = [command.line for readme in READMES for command in readme.commands()]
    called = [words for words, _ in _verbs(module)]
    assert [w for w in called if not any(f"{line} ".startswith(f"{w} ") for line in lines)] == []


@pytest.mark.parametrize("module", APPS)
def test_every_option_stands_in_the_readme_of_its_package(module: str) -> None:
    package = module.split(".")[0]
    texts = [readme.text for readme in READMES if readme.name.startswith(package)]
    if package == "profiler":  # phones have a section of their own
        texts += [readme.text for readme in READMES if readme.name == "device_agents/README.md"]
    missing = [
        f"{words} {option}"
        for words, command in _verbs(module)
        for option in _options(command)
        if not any(re.search(rf"(?<![\w-]){option}(?![\w-])", text) for text in texts)
    ]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_option_that_a_package_readme_explains_exists(package: str) -> None:
    known = {
        name
        for module in APPS
        for _, command in _verbs(module)
        for option in command.params
        for name in (*option.opts, *option.secondary_opts)
    }.union(_COMMON)
    spans = [span for span in _package_readme(package).spans if span.startswith("--")]
    assert {
        word for span in spans for word in span.split() if word.startswith("--")
    } - known == set()


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_every_command_line_of_a_readme_parses(readme: Readme) -> None:
    problems = {command.line: _problem(command) for command in readme.commands()}
    assert {line: problem for line, problem in problems.items() if problem} == {}


# --- paths, links, rooms, names --------------------------------------------------


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.name)
def test_every_path_and_link_of_a_readme_leads_somewhere(readme: Readme) -> None:
    assert readme.missing_paths() == []
    assert readme.dead_links() == []


def _rooms(package: str) -> set[str]:
    folder = ROOT / package
    modules = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    folders = {f"{path.name}/" for path in folder.iterdir() if any(path.glob("*[!c]"))}
    return modules | {name for name in folders if not name.startswith("__")}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_readme_lists_each_room_once(package: str) -> None:
    rooms = _package_readme(package).rooms
    assert sorted(rooms) == sorted(_rooms(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_only_from_rooms_above_them(package: str) -> None:
    rooms = [room.removesuffix("/").removesuffix(".py") for room in _package_readme(package).rooms]
    importing = re.compile(rf"^ *(?:from|import) {package}\.(\w+)", re.M)
    wrong = []
    for path in sorted((ROOT / package).rglob("*.py")):
        room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if room in rooms:
            above = rooms[: rooms.index(room) + 1]
            used = importing.findall(path.read_text(encoding="utf-8"))
            wrong += [
                f"{path.relative_to(ROOT)} imports {other}" for other in used if other not in above
            ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_names_in_recipes_exist_in_the_code(package: str) -> None:
    names = re.findall(r"`(_?[A-Z]\w+)`", _package_readme(package).section("Recipes"))
    sources = [path.read_text() for room in PACKAGES for path in (ROOT / room).rglob("*.py")]
    assert names
    assert [n for n in names if not any(re.search(rf"\b{n}\b", text) for text in sources)] == []


@pytest.mark.parametrize(
    "script",
    sorted((ROOT / "tests" / "benchmarks").glob("*.py")),
    ids=lambda path: path.name,
)
def test_every_benchmark_stands_in_the_readme_of_benchmarks(script: Path) -> None:
    readme = next(readme for readme in READMES if readme.name == "tests/benchmarks/README.md")
    assert f"`{script.name}`" in readme.text


# --- samples -----------------------------------------------------------------------

SAMPLES = sorted({sample for readme in READMES for sample in readme.samples()})


def test_there_are_samples() -> None:
    verbs = ("show", "validate", "diff", "compare", "networks", "--dry-run")
    assert [verb for verb in verbs if not any(verb in line.split() for line, _ in SAMPLES)] == []


def _shown(output: str) -> re.Pattern[str]:
    """The output that a README shows; a line of three dots stands for any lines."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in output.splitlines()
    ]
    return re.compile("".join(lines))


@pytest.mark.parametrize(("line", "shown"), SAMPLES, ids=[line for line, _ in SAMPLES])
def test_a_sample_is_what_the_command_prints(
    line: str, shown: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    module, *arguments = Command(line, whole=True).words[2:]
    result = CliRunner().invoke(app_of(module), arguments)
    assert result.exit_code == 0, result.output
    printed = "".join(f"{text.rstrip()}\n" for text in result.stdout.splitlines())
    assert _shown(shown).fullmatch(printed), printed


PYTHON = [(r.name, block.text) for r in READMES for block in r.blocks if block.language == "python"]


@pytest.mark.parametrize(("name", "text"), PYTHON, ids=[name for name, _ in PYTHON])
def test_python_in_a_readme_runs(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").symlink_to(ROOT / "tables")
    space = make_space("fbnet-mini")
    network = space.architecture([layer.choices[0].name for layer in space.layers], "net")
    write_architecture(network, tmp_path / "net.json")
    write_weights(build_network(network.operators), tmp_path / "net.pt")
    script = tmp_path / "example.py"
    script.write_text(text)
    runpy.run_path(str(script))


# --- the checks themselves can fail -----------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "python -m profiler shwo TABLE",
        "fbnet-kit shwo TABLE",
        "fbnet-kit deploy NET --no-such-option",
        "python -m profiler show TABLE --no-such-option",
        "python -m profiler diff OLD",
        "python -m search --target-ms soon",
        "python -m tests.benchmarks.bench_adb --no-such-option",
        "python tests/benchmarks/no_such_script.py",
        "make no-such-target",
    ],
)
def test_a_wrong_command_line_is_seen(line: str) -> None:
    assert _problem(Command(line, whole=True))


def test_dead_links_and_missing_paths_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        "# A page\n\n[x](nowhere.md) [y](#a-page) [z](#b) `search/nowhere.py` `no.py`\n"
    )
    readme = Readme(page)
    assert readme.dead_links() == ["nowhere.md", "#b"]
    assert readme.missing_paths() == ["search/nowhere.py", "no.py"]


def test_a_changed_sample_is_seen() -> None:
    assert _shown("a\n...\nd").fullmatch("a\nb\nc\nd\n")
    assert not _shown("a\n...\nd").fullmatch("a\nb\nc\n")
    assert not _shown("a.c").fullmatch("abc\n")
