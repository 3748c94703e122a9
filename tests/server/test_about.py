"""What stands on Settings, About: the report with its checksum, and the licences."""

from __future__ import annotations

from pathlib import Path

from webui.flags import Flags
from webui.request.settings import Settings
from webui.server.api import licences, sysinfo


def test_a_report_tells_whether_it_was_changed(tmp_path: Path) -> None:
    told = sysinfo.report(Flags(data_dir=tmp_path), Settings(), {"loaded": ""})
    assert sysinfo.is_whole(told) and sysinfo.is_whole(dict(reversed(told.items())))
    assert not sysinfo.is_whole({**told, "Python": "2.7"}) and not sysinfo.is_whole({})


def test_licences_are_told_of_every_package() -> None:
    page = licences.page()
    for name in ("gradio", "torch", "diffusers", "pydantic"):
        assert f"<td>{name}</td>" in page
    assert licences.own().splitlines()[0] in page and "<script" not in page
