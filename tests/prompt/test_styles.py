from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.prompt.golden import golden
from webui.base.errors import UserError
from webui.prompt.styles import (
    Style,
    StyledPrompts,
    apply_styles,
    read_styles,
    read_table,
    recognise_styles,
    write_styles,
)

PAINTING = Style("Painting", "oil painting of {prompt}, thick brush strokes", "photo, low quality")
NIGHT = Style("Night", "at night, moonlight")
ONLY_NEGATIVE = Style("OnlyNeg", "", "watermark, text")
STYLES = {style.name: style for style in (PAINTING, NIGHT, ONLY_NEGATIVE)}


@pytest.mark.parametrize("case", golden("styles"), ids=lambda case: f"{case['prompt']}-{case['styles']}")
def test_styles_are_applied_as_a1111_does(case):
    prompts = StyledPrompts(case["prompt"], case["prompt"])
    assert apply_styles(prompts, case["styles"], STYLES) == (case["positive"], case["negative"])


plain = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10)
style_texts = st.one_of(plain, st.tuples(plain, plain).map("{prompt}".join))
styles = st.builds(Style, plain, style_texts, style_texts)


@given(plain, plain, styles)
def test_an_applied_style_is_recognised_and_taken_off(positive, negative, style):
    applied = apply_styles(StyledPrompts(positive, negative), [style.name], {style.name: style})
    assert recognise_styles(applied, [style]) == (StyledPrompts(positive, negative), (style.name,))


@given(plain, plain, st.lists(styles, unique_by=lambda style: style.name))
def test_recognised_styles_give_the_prompts_back(positive, negative, known):
    prompts, names = recognise_styles(StyledPrompts(positive, negative), known)
    by_name = {style.name: style for style in known}
    again = apply_styles(prompts, names, by_name)
    assert (again.positive.replace(", ", ""), again.negative.replace(", ", "")) == (positive, negative)


def test_several_styles_are_recognised_in_the_order_of_their_application():
    applied = apply_styles(StyledPrompts("a cat", ""), ["Painting", "Night", "OnlyNeg"], STYLES)
    prompts, names = recognise_styles(applied, STYLES.values())
    assert prompts == ("a cat", "")
    assert apply_styles(prompts, names, STYLES) == applied
    assert set(names) == {"Painting", "Night", "OnlyNeg"}


def test_a_style_is_recognised_only_with_both_its_halves():
    prompts = StyledPrompts("oil painting of a cat, thick brush strokes", "blurry")
    assert recognise_styles(prompts, STYLES.values()) == (prompts, ())


@given(
    st.lists(
        st.builds(Style, st.text().filter(lambda name: name and not name.startswith("#")), st.text(), st.text()),
        unique_by=lambda style: style.name,
    )
)
def test_written_styles_are_read_again(tmp_path_factory, known):
    path = tmp_path_factory.mktemp("styles") / "styles.csv"
    write_styles(path, known)
    assert read_styles(path) == tuple(known)


def test_saving_keeps_what_was_there(tmp_path):
    path = tmp_path / "styles.csv"
    write_styles(path, [PAINTING])
    write_styles(path, [NIGHT])
    assert read_styles(path) == (NIGHT,)
    assert read_styles(tmp_path / "styles.csv.bak") == (PAINTING,)


def test_a_file_as_a1111_writes_it_is_read(tmp_path):
    path = tmp_path / "styles.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["name", "prompt", "negative_prompt"])
        writer.writeheader()
        writer.writerow({"name": "Painting", "prompt": PAINTING.prompt, "negative_prompt": PAINTING.negative_prompt})
        writer.writerow({"name": "# a comment", "prompt": "x", "negative_prompt": ""})
        writer.writerow({"name": "", "prompt": "x", "negative_prompt": ""})
        writer.writerow({"name": "Two\nlines", "prompt": 'a "quoted"\nword', "negative_prompt": ""})
    assert read_styles(path) == (PAINTING, Style("Two\nlines", 'a "quoted"\nword'))


def test_the_first_format_of_a1111_is_read(tmp_path):
    path = tmp_path / "styles.csv"
    path.write_text("name,text\nNight, at night\nShort\n", "utf-8")
    assert read_styles(path) == (Style("Night", "at night"), Style("Short"))


def test_no_file_and_an_empty_file_hold_no_styles(tmp_path):
    assert read_styles(tmp_path / "none.csv") == ()
    (tmp_path / "empty.csv").write_bytes(b"")
    assert read_styles(tmp_path / "empty.csv") == ()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a,b\n1,2\n", b"name,prompt\nx," + b"y" * 200_000])
def test_of_a_file_that_is_none_it_is_said(tmp_path, content):
    path = tmp_path / "styles.csv"
    path.write_bytes(content)
    assert read_table(path).remarks


@pytest.mark.parametrize("name", ["", "#x"])
def test_a_name_that_would_not_be_read_again_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="called"):
        write_styles(tmp_path / "styles.csv", [Style(name)])
    assert not (tmp_path / "styles.csv").exists()


PLAIN = 'name,prompt,negative_prompt\nNight,"at night, blue",day\nCafé,"in a café",\n'
BOTH = (Style("Night", "at night, blue", "day"), Style("Café", "in a café"))


@pytest.mark.parametrize(
    ("content", "remarks"),
    [
        (PLAIN.encode(), 0),
        (PLAIN.encode("utf-8-sig"), 0),
        (PLAIN.encode("utf-16"), 0),
        (PLAIN.encode("utf-16-le"), 0),
        (PLAIN.encode("cp1252"), 1),
        (PLAIN.replace("name,prompt", "Name,Prompt").encode(), 0),
        (PLAIN.replace("negative_prompt", "Negative prompt").encode(), 0),
        (PLAIN.split("\n", 1)[1].encode(), 1),
        (b'name;prompt;negative_prompt\nNight;"at night, blue";day\nCaf\xc3\xa9;in a caf\xc3\xa9;\n', 0),
        (b"prompt\tname\tnegative_prompt\nat night, blue\tNight\tday\nin a caf\xc3\xa9\tCaf\xc3\xa9\t\n", 0),
        (PLAIN.replace("\n", "\r\n").encode(), 0),
        (PLAIN.replace(",day", ",day,more,even more").encode(), 1),
    ],
)
def test_a_table_from_any_spreadsheet_is_read(tmp_path, content, remarks):
    (tmp_path / "styles.csv").write_bytes(content)
    found = read_table(tmp_path / "styles.csv")
    assert found.styles == BOTH
    assert len(found.remarks) == remarks


def test_an_open_quotation_mark_takes_no_other_line_in(tmp_path):
    path = tmp_path / "styles.csv"
    path.write_text('name,prompt,negative_prompt\nOpen,"at night, blue\nNight,"at night, blue",day\n')
    found = read_table(path)
    assert {style.name for style in found.styles} >= {"Open", "Night"}
    assert found.styles[-1] == BOTH[0]
    assert found.remarks[0].startswith("line 2:")


@given(st.binary(max_size=300))
def test_nothing_breaks_the_reader_and_nothing_is_lost_by_writing(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("styles") / "styles.csv"
    path.write_bytes(content)
    found = read_table(path)
    write_styles(path, found.styles)
    assert read_styles(path) == found.styles
    copies = [copy.read_bytes() for copy in path.parent.glob("styles.csv.*")]
    assert copies == [content]
    if found.lossy:
        assert not path.with_name("styles.csv.bak").exists()  # which the next change would write over
