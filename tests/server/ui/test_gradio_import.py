"""Gradio comes without what it does for editors, and is the same otherwise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = """
import inspect, sys
import webui.server.ui
import gradio as gr

sys.path.insert(0, sys.argv[1])
import field

with gr.Blocks() as page:
    one, other = field.Field("a"), gr.Button("b")
    one.change(lambda text: text, one, one)
    other.click(lambda: "c", None, one)
assert [event["targets"][0][1] for event in page.get_config_file()["dependencies"]] == ["change", "click"]
assert "class EventListener" in inspect.getsource(gr.events)
"""


def test_no_stub_is_written_beside_a_component(tmp_path: Path) -> None:
    (tmp_path / "field.py").write_text("import gradio as gr\n\n\nclass Field(gr.Textbox):\n    '''Mine.'''\n")

    ran = subprocess.run([sys.executable, "-c", PAGE, str(tmp_path)], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert not (tmp_path / "field.pyi").exists()
