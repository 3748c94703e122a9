"""A finished picture is enlarged, gets other faces, or is cut, as on the Extras tab."""

from __future__ import annotations

from dataclasses import replace

from webui.base.errors import OutOfMemory, UserError
from webui.engine.feature import FeatureEngine, FinishedPicture
from webui.engine.memory import give_back, is_out_of_memory
from webui.engine.postprocessing import OperationTools, Worked, applied, faces_by, no_faces, operations_of
from webui.engine.restorers.faces import Faces
from webui.engine.upscalers.transparency import enlarged_with_alpha
from webui.features.postprocessing.parameters import Params


class Engine(FeatureEngine[Params]):
    """The picture after all operations; as it is, with a remark, where one of them cannot be done."""

    def __init__(self, params: Params, unit: int = 0) -> None:
        super().__init__(params, unit)
        self._said: tuple[str, ...] = ()

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        memory = False
        try:
            worked = self._worked(finished)
        except (UserError, OutOfMemory) as error:
            finished.watch.remark(f"Postprocessing was left out: {error}")
            return finished
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            memory = True
        if memory:  # Beyond the handler, so that nothing holds on to what was made.
            finished.watch.remark("Postprocessing was left out: there was not enough memory.")
            if finished.services.residents is not None:
                give_back(finished.services.residents.profile.device)
            return finished
        noted = finished.batch.facts
        for label in self._said:  # of the batch's picture before
            noted.noted.pop(label, None)
        for label, text in worked.facts.items():
            noted.note(label, text)
        self._said = tuple(worked.facts)
        return replace(finished, picture=worked.picture)

    def _worked(self, finished: FinishedPicture) -> Worked:
        params, watch, services = self.params, finished.watch, finished.services
        residents = services.residents

        def enlarge(worked: Worked, upscaler: str, factor: float) -> Worked:
            watch.check()
            large = enlarged_with_alpha(worked.picture, factor, upscaler, services.enlargers)
            return worked.to(large, large.size)

        def restore(worked: Worked, name: str) -> Worked:
            if residents is None:
                raise RuntimeError("A picture with restored faces was asked for where no networks are lent.")
            restorer = Faces(residents, params.networks[name], params.codeformer_weight)
            made = restorer.restored(worked.picture, lambda _done, _of: watch.check())
            if not made.faces:
                watch.remark("Faces were not restored: none was found that is large enough.")
                return worked
            return worked.to(made.picture, worked.size)

        faces = no_faces if residents is None else faces_by(residents, watch.remark)
        tools = OperationTools(enlarge, params.titles, params.most_pixels, watch.remark, restore, faces)
        operations = operations_of(params, finished.picture.size, tools)
        given = Worked(finished.picture, finished.picture.size)
        return applied(given, (operations[name] for name in params.order if name in params.acting))[0]
