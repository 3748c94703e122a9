"""What happens when memory runs out: once more with less, and the picture says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import OPTIONS, SMALL, Engine, Names, most_apart, reference
from webui.engine.command_handler import CommandHandler
from webui.engine.families.ldm_model import LdmModel
from webui.engine.memory import profile_of
from webui.jobs.txt2img.work import LEAN, LEAN_REMARK
from webui.request.fields import Txt2Img
from webui.request.messages import Event, Failed, Finished, Pictured, Run
from webui.request.plan import Plan, resolve
from webui.request.settings import Settings


def request(**changes: object) -> Txt2Img:
    return Txt2Img.model_validate({"prompt": "a cat", **SMALL, **changes})


class Office:
    """The engine without its process."""

    def __init__(self, checkpoint: Path) -> None:
        self.events: list[Event] = []
        self.handler = CommandHandler(OPTIONS, self.events.append)
        self.ref = reference(checkpoint)

    def plan(self, **changes: object) -> Plan:
        return resolve(request(**changes), Settings(), Names(self.ref), lambda: 1)

    def run(self, plan: Plan, *, lean: bool = False) -> list[Pictured]:
        self.events.clear()
        command = Run("job", plan, lean)
        self.handler.hear(command)
        try:
            self.handler.serve(command)
        except Exception as error:  # noqa: BLE001 - as the worker does
            self.handler.failed(command, error)
        return [event for event in self.events if isinstance(event, Pictured)]

    @property
    def end(self) -> Event:
        return self.events[-1]


@pytest.fixture(scope="module")
def office(tiny_checkpoint: Path) -> Iterator[Office]:
    threads = torch.get_num_threads()
    yield Office(tiny_checkpoint)
    torch.set_num_threads(threads)


def small_memory(monkeypatch: pytest.MonkeyPatch, most: int, *, after: int = 0) -> None:
    """The network refuses batches of more than `most` pictures, from its call number `after` on."""
    predict = LdmModel.predict
    calls: list[int] = []

    def limited(self: LdmModel, x: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append(len(x))
        if len(x) > most and len(calls) > after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return predict(self, x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(LdmModel, "predict", limited)


def test_what_does_not_fit_is_made_one_after_the_other_and_what_was_finished_stays(
    office: Office, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = engine.run(request(batch_size=2, n_iter=2))
    small_memory(monkeypatch, 1, after=int(str(SMALL["steps"])))
    made = office.run(office.plan(batch_size=2, n_iter=2))
    assert [picture.position for picture in made] == [0, 1, 2, 3]
    assert isinstance(office.end, Finished)
    assert not office.end.interrupted
    assert [dict(picture.facts).get(LEAN) for picture in made] == [None, None, "True", "True"]
    assert [LEAN_REMARK in picture.comments for picture in made] == [False, False, True, True]
    assert all(most_apart(picture, other) <= 1 for picture, other in zip(made, usual, strict=True))
    assert office.handler.models.profile == office.handler.profile, "the next job is made as usual"


def test_where_an_engine_was_ended_for_want_of_memory_the_next_one_begins_with_less(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, 1)
    made = office.run(office.plan(batch_size=2), lean=True)
    assert [dict(picture.facts).get(LEAN) for picture in made] == ["True", "True"]
    assert [LEAN_REMARK in picture.comments for picture in made] == [True, True]
    assert office.handler.models.profile == office.handler.profile


def test_what_does_not_fit_at_all_fails_and_the_next_job_runs(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        small_memory(patched, 0)
        assert office.run(office.plan()) == []
    assert isinstance(office.end, Failed)
    assert office.end.code == "out_of_memory"
    assert office.end.hint
    assert len(office.run(office.plan())) == 1


@pytest.mark.parametrize("tries", [1, 2])
def test_a_picture_that_cannot_be_decoded_is_decoded_otherwise(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    """In tiles, then on the CPU; its latents are not made again."""
    usual = engine.run(request())[0]
    decode, predict = LdmModel.decode, LdmModel.predict
    decoded: list[bool] = []
    calls: list[int] = []

    def refusing(self: LdmModel, latents: torch.Tensor, *, tiled: bool = False) -> torch.Tensor:
        decoded.append(tiled)
        if len(decoded) <= tries:
            raise torch.OutOfMemoryError("out of memory")
        return decode(self, latents, tiled=tiled)

    def counted(self: LdmModel, *given: object) -> torch.Tensor:
        calls.append(1)
        return predict(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(LdmModel, "decode", refusing)
    monkeypatch.setattr(LdmModel, "predict", counted)
    made = engine.run(request())[0]
    assert decoded == [False, True, True][: tries + 1]
    assert len(calls) == SMALL["steps"]
    assert most_apart(made, usual) <= 1
    assert ("in tiles" if tries == 1 else "CPU") in made.comments[-1]


def test_a_leaner_profile_takes_less_and_ends_somewhere() -> None:
    usual = profile_of(OPTIONS)
    assert (usual.leaner().attention, usual.leaner().offload) == ("sliced", "none")
    on_gpu = replace(usual, device=torch.device("cuda", 0))
    steps = [on_gpu.offload, on_gpu.leaner().offload, on_gpu.leaner().leaner().offload]
    assert [*steps, on_gpu.leaner().leaner().leaner().offload] == ["none", "medium", "low", "leaf"]
