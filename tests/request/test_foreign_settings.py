"""Each of A1111's settings works, or is named with the reason why it means nothing; and all are kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

from webui.base.paths import Paths
from webui.catalog.settings_store import SettingsStore
from webui.request.foreign_settings import table, without_meaning
from webui.request.sections import SECTIONS
from webui.request.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "webui" / "docs" / "SETTINGS.md"
COMMAND = 'python -c "from webui.request.foreign_settings import table; print(table())"'


def test_every_setting_of_a1111_works_or_has_a_reason() -> None:
    known = {*Settings.keys(), *without_meaning()}
    missing = [key for keys in SECTIONS.values() for key in keys if key not in known]
    assert not missing, f"neither a setting nor explained in foreign_settings.py: {missing}"
    assert all(why.endswith(".") for why in without_meaning().values())


def test_the_documentation_has_the_table() -> None:
    shown = re.search(r"<!-- foreign -->\n(.*?)\n<!-- /foreign -->", DOCS.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    assert shown[1] == table(), f"{COMMAND} prints what SETTINGS.md shall hold"


def test_what_means_nothing_here_is_kept_in_the_file(tmp_path: Path) -> None:
    theirs = {key: {"odd": [key]} for keys in SECTIONS.values() for key in keys}
    paths = Paths(data=tmp_path)
    paths.settings.write_text(json.dumps(theirs))
    SettingsStore(paths).change({"jpeg_quality": 91})
    kept = json.loads(paths.settings.read_text())
    assert kept["jpeg_quality"] == 91
    assert {key: kept.get(key) for key in without_meaning()} == {key: theirs[key] for key in without_meaning()}
