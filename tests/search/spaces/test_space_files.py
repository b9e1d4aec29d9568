"""Spaces as TOML files: read, refused with their place, written, listed."""

from pathlib import Path

import pytest

from search.errors import UsageError
from search.spaces.custom.definition import definition_of
from search.spaces.custom.document import parse_definition, read_definition
from search.spaces.custom.toml_text import toml_text
from search.spaces.registry import make_space, parse_space

EDGE = Path(__file__).with_name("edge.toml")


def test_a_file_gives_the_stages_and_candidates_that_it_lists() -> None:
    space = make_space(str(EDGE))
    names = [[choice.name for choice in layer.choices] for layer in space.layers]
    everywhere = ["k3_e3", "k5_e3_se", "k3_e2_hswish", "extradw_k3_k5_e4"]
    assert names == [
        [*everywhere, "dense"],
        [*everywhere, "skip", "dense"],
        ["k3_e3", "attention"],
    ]
    assert [operator.kind for operator in space.before] == ["conv", "ir"]
    assert (space.after[-1].mid_channels, space.after[-1].out_channels) == (24, 4)
    assert space.after[-2].activation == "hswish"
    attention = space.layers[-1].choice("attention").operator
    assert (attention.splits, attention.squeeze_channels, attention.stride) == (2, 24, 2)
    dense = space.layers[0].choice("dense").operator
    assert dense.key == "conv_k3_g1_relu_i8_o16_h16_w16_s2_b1_fp32"


def test_options_go_before_what_a_file_says() -> None:
    space = make_space(
        str(EDGE), resolution=32, width=2.0, classes=7, head_channels=48, dtype="int8"
    )
    assert space.label.endswith("-r32-x2-c7-h48-p0-b1-int8")
    assert space.layers[0].choices[0].operator.out_channels == 32
    assert parse_space(space.spec) == space


def test_a_written_definition_is_read_back_as_it_was() -> None:
    definition = read_definition(EDGE)
    assert parse_definition(toml_text(definition)) == definition


@pytest.mark.parametrize("name", ["fbnet", "single-path", "uib", "nas-bench-macro"])
def test_a_known_space_written_as_a_file_gives_equal_layers(name: str) -> None:
    known = make_space(name)
    text = toml_text(definition_of(known))
    again = parse_definition(text.replace(f'name = "{name}"', 'name = "mine"')).space()
    assert (again.before, again.layers, again.after) == (known.before, known.layers, known.after)


BAD = [
    ("repeats = 2", "repeets = 2", "'repeets' in edge.toml, stage 2", "repeats"),
    ("channels = 16", "chanels = 16", "'chanels' in edge.toml, stage 2", "channels"),
    ("[head]", "[haed]", "'haed' in edge.toml", "head"),
    ("kernel = 3}", "kernal = 3}", "'kernal' in edge.toml, candidate 6", "kernel"),
    ("channels = 16\n", "", "edge.toml, stage 2 has no channels", "Add channels"),
    ("channels = 16", "channels = 0", "edge.toml, stage 2, channels", ""),
    ("channels = 16", "channels = true", "edge.toml, stage 2, channels", ""),
    ("resolution = 16", "resolution = 18", "strides of edge do not divide", "multiple of 4"),
    ("classes = 4", "classes = 1", "nothing to tell apart", ""),
    ('name = "edge"', 'name = "Edge"', "no name of a space", ""),
    ('name = "edge"', 'name = "a-r2"', "no name of a space", ""),
    ('"k5_e3_se"', '"k5e3_se"', "edge.toml, candidate 2: 'k5e3_se'", "k5_e3_se"),
    ('"k5_e3_se"', '"k3_e3"', "another candidate named k3_e3", ""),
    ('name = "dense"', 'name = "k3_e3"', "another candidate named k3_e3", ""),
    ('name = "attention"', 'name = "dense"', "Two candidates are named dense", ""),
    ('"k5_e3_se"', '"k3_e3_p1"', "k3_e3 and k3_e3_p1 are the same operator", ""),
    ('"k5_e3_se"', '"k3_e3_g3"', "k3_e3_g3 cannot stand in stage1.1, from 8 to 16", ""),
    ('"k5_e3_se"', "7", "7 is neither words nor a table", "k3_e3"),
    ("kernel = 3}", "kernel = 4}", "candidate 6: Kernels must be odd", ""),
    ("kernel = 3}", "expansion = 3}", "kind conv has no expansion", "kernel"),
    ('kind = "conv"', 'kind = "cnv"', "candidate 6, kind", ""),
    ("splits = 2", "splits = 0", "must lie between 1", ""),
    ('["k3_e3", {', '["skip", {', "skip of stage 3 can stand in none", "Leave it out"),
    ('candidates = ["k3_e3", {', "candidates = [] # [{", "stage 3 has no candidates", ""),
    ('fixed = "k3_e1"', 'fixed = "skip"', "", ""),
    ('fixed = "k3_e1"', 'fixed = "k3_e1"\nstride = 0', "stage 1, stride", ""),
    ('fixed = "k3_e1"', 'fixed = "k3_e1"\ncandidates = ["skip"]', "is fixed and has", ""),
    ("[stem]", 'stem = 3\n[[stages]]\nfixed="skip"', "edge.toml, stem is 3", ""),
    ("[stem]", '[stem]\nactivation = "gelu"', "unknown activation 'gelu'", "relu6"),
    ("[stem]", "[stem]\nkernel = 2", "even kernel", ""),
    ("hidden = 24", "hidden = -1", "hidden = -1", ""),
    ("repeats = 2", "repeats = 900", "too many", ""),
    ("schema_version = 1", "schema_version = 2", "schema 2, newer than 1", "Update"),
    ("schema_version = 1", "schema_version = true", "no schema_version", ""),
    ("schema_version = 1", "schema_version = ", "edge.toml is no TOML", ""),
    ('name = "edge"', 'name = "uib"', "another space named uib", "another name"),
]


@pytest.mark.parametrize(("old", "new", "said", "hint"), BAD)
def test_what_is_wrong_with_a_file_is_a_sentence_with_its_place(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    said: str,
    hint: str,
) -> None:
    text = EDGE.read_text()
    assert old in text
    monkeypatch.chdir(tmp_path)
    Path("edge.toml").write_text(text.replace(old, new, 1))
    if not said:  # the identity may be fixed, where the shape stays
        assert make_space("edge.toml").before[1].kind == "skip"
        return
    with pytest.raises(UsageError) as caught:
        make_space("edge.toml")
    assert said in caught.value.message
    assert "edge.toml" in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in caught.value.remedy


def test_a_file_whose_stages_are_all_fixed_is_refused() -> None:
    head, fixed, *_ = EDGE.read_text().split("[[stages]]")
    tail = "[head]\nchannels = 8\n"
    with pytest.raises(UsageError, match="no stage uses the candidate k3_e3"):
        parse_definition(f"{head}[[stages]]{fixed}{tail}")
    bare = head.split("candidates = [")[0] + "[stem]\nchannels = 8\n"
    with pytest.raises(UsageError, match="No stage is searched"):
        parse_definition(f"{bare}[[stages]]{fixed}{tail}")


def test_a_layer_that_nothing_can_stand_in_is_refused() -> None:
    text = EDGE.read_text().replace("stride = 2\ncandidates = [", 'candidates = ["skip"] # [', 1)
    with pytest.raises(UsageError, match=r"stage2\.1 has no candidates"):
        parse_definition(text)


def test_a_file_that_is_not_there_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read .*none\.toml"):
        make_space(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no UTF-8"):
        make_space(str(tmp_path / "bad.toml"))


DEEP = "[" * 20_000
HOSTILE = [
    ("[head]", f"x = {DEEP}\n[head]", "nested too deep"),
    ("resolution = 16", f"resolution = {'9' * 6000}", "number is too long"),
    ("resolution = 16", "resolution = nan", "resolution"),
    ("resolution = 16", "resolution = 2001-01-01", "resolution"),
    ("expansion = 3", "expansion = inf", "expansion"),
    ("expansion = 3", "expansion = 1e300", "must lie between"),
    ("channels = 16", "channels = 1048576", "larger than any device computes"),
    ("stride = 2", "stride = 1000000", "Give 1 to 64"),
    ('name = "edge"', f'name = "{"a" * 100_000}"', "no name of a space"),
    ('name = "edge"', 'name = "../elsewhere"', "no name of a space"),
    ('name = "edge"', 'name = "a; touch owned"', "no name of a space"),
    ('name = "dense"', 'name = "a b"', "no name of a candidate"),
    ('"skip"', '"sk\\u0000ip"', "no candidate"),
    ("[head]", "[[head]]", "no table of keys"),
    ('"k3_e3", "k5', ", ".join(f'"k3_e{n}"' for n in range(1, 300)) + ', "k5', "too many"),
]


@pytest.mark.parametrize(("old", "new", "said"), HOSTILE)
def test_a_hostile_file_is_a_short_sentence_too(old: str, new: str, said: str) -> None:
    text = EDGE.read_text()
    assert old in text
    with pytest.raises(UsageError) as caught:
        parse_definition(text.replace(old, new, 1), "edge.toml")
    assert said in f"{caught.value.message} {caught.value.remedy}"
    assert len(caught.value.message) < 400


def test_a_space_that_no_line_can_hold_is_refused() -> None:
    names = [f"{'n' * 50}-{n}" for n in range(200)]
    kind = 'kind = "ir", expansion = '
    rows = [f'{{name = "{name}", {kind}{n + 1}.5}}' for n, name in enumerate(names)]
    stage = "[[stages]]\nchannels = 100\nrepeats = 2\ncandidates = ["
    many = "".join(f"{stage}{', '.join(rows[k:])}]\n" for k in range(1, 9))
    head, tail = EDGE.read_text().split("[head]")
    with pytest.raises(UsageError, match="characters to be written down"):
        parse_definition(f"{head}{many}[head]{tail}")
