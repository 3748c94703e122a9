"""The subject is cut out of a finished picture."""

from __future__ import annotations

from dataclasses import replace

from webui.base.errors import OutOfMemory, UserError
from webui.engine.detectors.cut_out import cut_out
from webui.engine.feature import FeatureEngine, FinishedPicture
from webui.features.remove_background.parameters import Params


class Engine(FeatureEngine[Params]):
    """The picture with transparency; as it is, with a remark, where no network can find the subject."""

    def finish(self, finished: FinishedPicture) -> FinishedPicture:
        residents, cutting = finished.services.residents, self.params.cutting
        if residents is None or cutting is None:
            raise RuntimeError("A picture without background was asked for where no networks are lent.")
        facts = finished.batch.facts
        try:
            made = replace(finished, picture=cut_out(finished.picture, cutting, residents))
        except (UserError, OutOfMemory) as error:
            finished.watch.remark(f"The background was not removed: {error}")
            self.unsay(facts)
            return finished
        self.say(facts)
        return made
