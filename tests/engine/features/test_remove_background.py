"""A picture leaves without its background."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engine.conftest import Engine, Names
from tests.engine.detectors.graphs import graph
from tests.engine.test_detectors import lending
from tests.engine.test_generate import request
from webui.base.paths import Paths
from webui.catalog.catalog import Catalog
from webui.engine.aside import carried_out
from webui.request.cutting import Cutting, Edge, SubjectMask
from webui.request.infotext import labels_of
from webui.request.messages import Pictured
from webui.request.model_ref import ModelRef
from webui.request.settings import RenderSettings


def written(made: Pictured) -> str:
    """What the infotext says beside the prompts."""
    return ", ".join(label for label, _ in labels_of(request(features=asked()), RenderSettings(), dict(made.facts)))


def asked(**values: object) -> dict[str, dict[str, object]]:
    return {"Remove background": values}


def test_a_network_of_one_s_own_leaves_the_subject_and_the_rest_is_transparent(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "redness.onnx"
    path.write_bytes(graph())
    ref = ModelRef(str(path), "redness")
    monkeypatch.setattr(Names, "cutting", lambda _self, _name, edge=None, field="": Cutting(ref, edge))
    (plain,) = engine.run(request())
    (made,) = engine.run(request(features=asked(model="redness")))
    assert made.rgb == plain.rgb
    assert "Background model" in written(made), "the included one, too"
    assert plain.alpha == b"" != made.alpha
    levels = np.frombuffer(made.rgb, np.uint8).reshape(-1, 3).astype(int)
    alpha = np.frombuffer(made.alpha, np.uint8)
    redder = levels[:, 0] - levels[:, 2]
    assert redder[alpha > 128].mean() > redder[alpha < 128].mean()


def test_a_network_that_cannot_be_opened_costs_the_cut_and_not_the_picture(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    broken = Cutting(ModelRef(str(tmp_path / "broken.onnx"), "broken"))
    monkeypatch.setattr(Names, "cutting", lambda _self, _name, edge=None, field="": broken)
    (made,) = engine.run(request(features=asked()))
    assert made.alpha == b""
    assert any("The background was not removed: broken.onnx" in comment for comment in made.comments)
    assert "Background model" not in written(made), "the infotext says what has acted"


def test_what_is_asked_for_is_looked_up(tmp_path: Path) -> None:
    paths = Paths(data=tmp_path, packages=tmp_path / "none")
    for folder, name in (("rembg", "mine"), ("u2net", "u2net"), ("rembg", "u2net")):
        (paths.models / folder).mkdir(parents=True, exist_ok=True)
        (paths.models / folder / f"{name}.onnx").write_bytes(graph())
    catalog = Catalog(paths)
    edge = Edge(1, 2, 3)
    assert catalog.choices("cut_out_models") == ["u2netp", "mine", "u2net"]
    assert Path(catalog.cutting("U2Net", edge).network.path).parent.name == "rembg"
    assert catalog.cutting("mine.onnx", edge).edge == edge
    assert not catalog.cutting("").network.path
    assert catalog.cutting("isnet-anime").remark == "There is no isnet-anime here, so u2netp found the subject."
    catalog.close()


def test_a_mask_is_made_beside_the_device(tmp_path: Path) -> None:
    (tmp_path / "redness.onnx").write_bytes(graph())
    picture = Image.new("RGB", (64, 40), "red")
    picture.paste("blue", (0, 0, 20, 40))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    plan = SubjectMask(
        buffer.getvalue(), Cutting(ModelRef(str(tmp_path / "redness.onnx"), "redness"), instead_of="sam")
    )
    made = carried_out(plan, lending())
    (mask,) = made.pictures
    seen = np.array(Image.open(io.BytesIO(mask.webp)).convert("L"))
    assert (mask.width, mask.height) == (64, 40) == seen.shape[::-1]
    assert seen[:, 28:].min() > 240 and seen[:, :12].max() < 15
    assert made.comments == ("There is no sam here, so redness found the subject.",)
