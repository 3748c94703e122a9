"""Whatever letters files have in their names, each has a tag that means it and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webui.catalog.tag_names import TagNames
from webui.prompt.comments import strip_comments
from webui.prompt.networks import extract_networks

STEMS = st.text("aA:>#%_3E ", min_size=1, max_size=5)
FILES = st.lists(st.tuples(st.sampled_from(["", "x/", "y/"]), STEMS, st.sampled_from([".pt", ".ckpt"])), unique=True)


@given(FILES)
def test_each_file_is_found_by_its_tag(files: list[tuple[str, str, str]]) -> None:
    called = {folder + stem + ending: (stem, folder + stem, folder + stem + ending) for folder, stem, ending in files}
    names = TagNames(called.items())
    for file, own in called.items():
        text, (tag,) = extract_networks(strip_comments(f"<lora:{names.tag(file, own)}:1>"))
        assert not text
        assert names.find(tag.name) == file
