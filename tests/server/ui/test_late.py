"""Gradio's tree of components builds what is seen."""

from __future__ import annotations

from webui.server.page_files import gradio_files
from webui.server.ui.late import AGAIN, TREE, building_late


def test_the_tree_and_the_page_are_changed_and_all_other_scripts_stay_as_they_are() -> None:
    scripts = [path.read_text("utf-8") for path in sorted(gradio_files().glob("*.js"))]
    changed = [script for script in scripts if building_late(script) != script]
    assert len(changed) == 2
    [tree] = [script for script in changed if all(script.count(method) == 1 for method, _ in TREE)]
    assert building_late(tree).count("this.late") == 6
    [page] = [script for script in changed if script is not tree]
    assert len(AGAIN.findall(page)) == 1


def test_a_tree_that_is_written_differently_stays_whole_as_it_is() -> None:
    [tree] = [text for path in gradio_files().glob("core-*.js") if TREE[0][0] in (text := path.read_text("utf-8"))]
    for method, _ in TREE:
        other = tree.replace(method, method.replace("(", "(x,"))
        assert building_late(other) == other
