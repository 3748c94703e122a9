"""A restorer makes the faces of a decoded picture whole."""

from __future__ import annotations

from dataclasses import replace

from webui.base.errors import OutOfMemory, UserError
from webui.engine.feature import FeatureEngine, FinishedPicture
from webui.engine.memory import give_back, is_out_of_memory
from webui.engine.restorers.faces import Faces, RestoredFaces
from webui.engine.start import copy
from webui.features.face_restoration.parameters import Params

LABELS = ("Face restoration", "CodeFormer weight")


class Engine(FeatureEngine[Params]):
    """The picture with its faces restored; as it is, with a remark, where nothing can."""

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        restorer, residents = self.params.restorer, finished.services.residents
        if restorer is None:
            finished.watch.remark(f"Faces were not restored: {self.params.lacking}")
            return finished
        if residents is None:
            raise RuntimeError("A picture with restored faces was asked for where no networks are lent.")
        try:
            restored = self._restored(finished, Faces(residents, restorer, self.params.weight, self.params.unloads))
        except (UserError, OutOfMemory) as error:
            finished.watch.remark(f"Faces were not restored: {error}")
            return finished
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            finished.watch.remark("Faces were not restored: there was not enough memory.")
            restored = None
        if restored is None:  # Beyond the handler, so that nothing holds on to what was made.
            give_back(residents.profile.device)
            return finished
        self._say(restored, restorer.title, finished)
        if restored.picture is finished.picture or not self.params.keeps_before:
            return replace(finished, picture=restored.picture)
        before = copy("before-face-restoration", finished.picture)
        return replace(finished, picture=restored.picture, extras=(*finished.extras, before))

    def _restored(self, finished: FinishedPicture, faces: Faces) -> RestoredFaces:
        def on_face(_done: int, _of: int) -> None:
            finished.watch.check()

        return faces.restored(finished.picture, on_face)

    def _say(self, restored: RestoredFaces, restorer: str, finished: FinishedPicture) -> None:
        facts = finished.batch.facts
        for label in LABELS:  # the batch's picture before may have had faces
            facts.noted.pop(label, None)
        if not restored.faces:
            finished.watch.remark("Faces were not restored: none was found that is large enough.")
            return
        facts.note("Face restoration", restorer)
        if restored.weighed:
            facts.note("CodeFormer weight", self.params.weight)
