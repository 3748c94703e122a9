"""What exists is explained: every parameter, setting and flag; every line of the registry leads to code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from webui import registry
from webui.request.capabilities import table
from webui.request.fields import REQUESTS
from webui.request.params import Choice, Declared, Several
from webui.request.preprocessors import table_of_files
from webui.request.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DECLARED: dict[str, type[Declared]] = {**REQUESTS, **Settings.sections()}


@pytest.mark.parametrize("section", DECLARED)
def test_every_parameter_and_setting_has_a_title_and_help(section: str) -> None:
    cls = DECLARED[section]
    untitled = [name for name, param in cls.params().items() if not param.title]
    silent = [name for name in cls.params() if not (cls.model_fields[name].description or "").strip()]
    assert untitled in ([], ["override_settings"]), untitled
    assert not silent, f"no help text: {silent}"


@pytest.mark.parametrize("section", DECLARED)
def test_every_choice_says_what_there_is_to_choose(section: str) -> None:
    chosen = {n: p for n, p in DECLARED[section].params().items() if isinstance(p, Choice | Several)}
    assert all(bool(param.choices) != bool(param.source) for param in chosen.values()), chosen


def test_an_infotext_label_means_one_thing() -> None:
    for cls in REQUESTS.values():
        labels = [p.label for c in (cls, *Settings.sections().values()) for p in c.params().values() if p.label]
        twice = {label for label in labels if labels.count(label) > 1}
        # The one stands for both directions; the other says whether faces are restored, and by what.
        assert twice <= {"Mask blur", "Face restoration"}, twice


def test_names_of_samplers_and_schedules_are_unambiguous() -> None:
    for entries in (registry.samplers(), registry.schedules()):
        own = [{name.casefold() for name in (entry.name, *entry.aliases)} for entry in entries]
        spellings = [spelling for names in own for spelling in names]
        assert len(spellings) == len(set(spellings))


def test_every_line_of_the_registry_leads_to_code() -> None:
    lines = [*registry.samplers(), *registry.schedules()]
    codes = [line.function for line in lines if line.function]
    codes += [line.adapts for line in registry.samplers() if line.adapts]
    codes += [line.code for line in (*registry.families(), *registry.restorers(), *registry.tabs())]
    for feature in registry.features():
        codes += [f"{feature.package}.parameters:Params", f"{feature.package}.engine:Engine"]
    for code in codes:
        assert registry.resolved(code) is not None, code


def test_the_readme_s_table_of_flags_is_the_generated_one() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(r"<!-- flags -->\n(.*?)<!-- /flags -->", readme, re.DOTALL)
    command = [sys.executable, "-m", "webui", "flags", "--markdown"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True, timeout=60)
    assert shown is not None
    assert shown.group(1).strip() == made.stdout.strip(), (
        "python -m webui flags --markdown prints what README.md shall hold"
    )


def test_the_map_s_table_of_families_is_the_generated_one() -> None:
    shown = re.search(
        r"<!-- families -->\n(.*?)<!-- /families -->", (ROOT / "webui" / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert shown is not None
    assert shown.group(1).strip() == table(), "webui.request.capabilities.table() is what webui/README.md shall hold"


def test_the_docs_name_the_files_of_all_preprocessors() -> None:
    text = (ROOT / "webui" / "docs" / "CONTROL.md").read_text("utf-8")
    shown = re.search(r"<!-- annotators -->\n(.*?)<!-- /annotators -->", text, re.DOTALL)
    assert shown is not None
    assert shown.group(1).strip() == table_of_files(), "table_of_files() is what webui/docs/CONTROL.md shall hold"


@pytest.mark.parametrize(
    "document",
    [
        *("README.md", "webui/README.md", "models/README.md", "webui/DECISIONS.md", "webui/docs/API.md"),
        *("webui/docs/CONTROL.md", "webui/docs/SETTINGS.md", "webui/docs/WITHOUT_DOWNLOADS.md"),
        "webui/docs/PROMPTS.md",
    ],
)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text("utf-8"))
    assert all((path.parent / link).exists() for link in links), [x for x in links if not (path.parent / x).exists()]
    pictures = [path.parent / link for link in links if link.startswith("pictures/")]
    assert all(picture.stat().st_size < 60_000 for picture in pictures), pictures


def test_the_map_names_only_what_exists() -> None:
    text = (ROOT / "webui" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_/]+(?:\.py|/))`", text))
    assert named
    missing = [name for name in named if not (ROOT / "webui" / name).exists()]
    assert not missing, missing


@pytest.mark.parametrize("entry", registry.FEATURES, ids=lambda entry: str(entry.name))
def test_every_feature_is_explained_in_five_lines(entry: registry.FeatureEntry) -> None:
    text = ROOT.joinpath(*entry.package.split("."), "README.md").read_text("utf-8")
    title, what, paper, needs, checked = text.splitlines()
    assert title == f"# {entry.name}" and what.endswith(".")
    assert paper.startswith("- Paper: ") and needs.startswith("- Needs: ") and checked.startswith("- Checked by: ")
    files = re.findall(r"`([^`]+)`", checked)
    assert files and all((ROOT / file).is_file() for file in files), files
    params = entry.params.params()
    assert all(param.title and entry.params.model_fields[name].description for name, param in params.items())


def test_the_order_of_features_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^\| \[(.+?)\]\((\w+)/README\.md\) \| (.+?) \| (.+?) \|$", _features_page(), re.MULTILINE)
    assert drawn == [
        (
            entry.name,
            entry.package.rsplit(".", 1)[-1],
            ", ".join(entry.params.after) or "–",
            ", ".join(sorted(entry.params.touches)) or "–",
        )
        for entry in registry.FEATURES
    ]


def _features_page() -> str:
    return (ROOT / "webui" / "features" / "README.md").read_text("utf-8")
