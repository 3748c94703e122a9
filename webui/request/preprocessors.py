"""The preprocessors: what makes a map of a picture, by the names that programs know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from webui.base.errors import NotFound, did_you_mean

_P = "webui.engine.preprocessors"
Real = int | float


@dataclass(frozen=True)
class Range:
    """A value of a preprocessor, with its limits; outside of them its default holds."""

    name: str
    value: Real
    low: Real
    high: Real
    step: float

    def held(self, given: Real) -> Real:
        return given if self.low <= given <= self.high else self.value


RESOLUTION = Range("Resolution", 512, 64, 2048, 8)
NEUTRAL = 0.5
"""What stands for a value that a preprocessor has not."""


@dataclass(frozen=True)
class WeightsOf:
    """A file of weights that a preprocessor needs."""

    folder: str
    """Below models/ControlNetPreprocessor, as A1111's extension has them below annotator/downloads."""
    names: tuple[str, ...]
    """What it is called, the usual name first; the first that is there serves."""
    optional: bool = False
    """Without it, something else serves."""


@dataclass(frozen=True)
class Preprocessor:
    """A line of the table; `code` is a function of (picture, options), run by the engine."""

    name: str
    code: str
    label: str = ""
    """What lists call it, where that is not its name."""
    has_resolution: bool = True
    a: Range | None = None
    b: Range | None = None
    model_free: bool = False
    """It acts without a control network."""
    needs_mask: bool = False
    """Its map has a mask: where the picture shall be filled."""
    holds: bool = False
    """What it was given is mixed into the predicted picture, in latent space."""
    unresolved: Real = NEUTRAL
    """What stands for the resolution where it has none."""
    describes: bool = False
    """It makes no map: an image encoder says what the picture shows, to a network that takes that for a prompt."""
    marks: tuple[str, ...] = ()
    """Kinds of control that list it."""
    weights: tuple[WeightsOf, ...] = ()
    """The files that people bring for it."""

    @property
    def title(self) -> str:
        return self.label or self.name

    def resolution_of(self, given: Real) -> Real:
        return RESOLUTION.held(given) if self.has_resolution else self.unresolved

    def value_of(self, which: Range | None, given: Real) -> Real:
        """What a unit's `threshold_a` or `threshold_b` means."""
        return NEUTRAL if which is None else which.held(given)


VARIATION = Range("Variation", 8.0, 3.0, 32.0, 1.0)
FACE_WEIGHTS = WeightsOf("insightface", ("w600k_r50.onnx",))
"""What tells one face from another: with its answers IP-Adapters FaceID were trained, and with no other's."""
INSTANT_WEIGHTS = WeightsOf("insightface", ("glintr100.onnx",))
"""Likewise, of InstantID."""
KEYPOINTS = "instant_id_face_keypoints"
FIDELITY = Range("Style Fidelity (only for Balanced mode)", 0.5, 0.0, 1.0, 0.01)
NONE = Preprocessor("none", f"{_P}.colours:untouched")
TABLE: tuple[Preprocessor, ...] = (
    NONE,
    Preprocessor(
        "tile_resample",
        f"{_P}.colours:tile_resample",
        a=Range("Down Sampling Rate", 1.0, 1.0, 8.0, 0.01),
        marks=("Tile",),
    ),
    Preprocessor(
        "recolor_luminance",
        f"{_P}.colours:recolor_luminance",
        a=Range("Gamma Correction", 1.0, 0.1, 2.0, 0.001),
        marks=("Recolor",),
    ),
    Preprocessor(
        "lineart_standard",
        f"{_P}.lines:lineart_standard",
        label="lineart_standard (from white bg & black line)",
        marks=("Lineart",),
    ),
    Preprocessor(
        "canny",
        f"{_P}.lines:canny",
        a=Range("Low Threshold", 100, 1, 255, 1),
        b=Range("High Threshold", 200, 1, 255, 1),
        marks=("Canny",),
    ),
    Preprocessor(
        "invert",
        f"{_P}.lines:invert",
        label="invert (from white bg & black line)",
        has_resolution=False,
        marks=("Canny", "Lineart", "Scribble", "MLSD"),
    ),
    Preprocessor(
        "threshold",
        f"{_P}.lines:threshold",
        a=Range("Binarization Threshold", 127, 0, 255, 0.01),
    ),
    Preprocessor("color", f"{_P}.colours:color", label="t2ia_color_grid", marks=("T2I-Adapter",)),
    Preprocessor("shuffle", f"{_P}.colours:shuffle", has_resolution=False, unresolved=512, marks=("Shuffle",)),
    Preprocessor(
        "scribble_xdog", f"{_P}.lines:scribble_xdog", a=Range("XDoG Threshold", 32, 1, 64, 0.01), marks=("Scribble",)
    ),
    Preprocessor(
        "recolor_intensity",
        f"{_P}.colours:recolor_intensity",
        a=Range("Gamma Correction", 1.0, 0.1, 2.0, 0.001),
        marks=("Recolor",),
    ),
    Preprocessor(
        "blur_gaussian", f"{_P}.colours:blur_gaussian", a=Range("Sigma", 9.0, 0.01, 64.0, 0.01), marks=("Tile",)
    ),
    Preprocessor(
        "inpaint",
        f"{_P}.colours:untouched",
        label="inpaint_global_harmonious",
        has_resolution=False,
        needs_mask=True,
        marks=("Inpaint",),
    ),
    Preprocessor(
        "inpaint_only",
        f"{_P}.colours:untouched",
        has_resolution=False,
        needs_mask=True,
        holds=True,
        marks=("Inpaint",),
    ),
    Preprocessor("tile_colorfix", f"{_P}.colours:untouched", a=VARIATION, holds=True, marks=("Tile",)),
    Preprocessor(
        "tile_colorfix+sharp",
        f"{_P}.colours:untouched",
        a=VARIATION,
        b=Range("Sharpness", 1.0, 0.0, 2.0, 0.01),
        holds=True,
        marks=("Tile",),
    ),
    *(
        Preprocessor(name, f"{_P}.colours:untouched", a=FIDELITY, model_free=True, marks=("Reference",))
        for name in ("reference_only", "reference_adain", "reference_adain+attn")
    ),
    Preprocessor(
        "ip-adapter-auto",
        f"{_P}.colours:untouched",
        describes=True,
        marks=("IP-Adapter",),
        weights=(replace(FACE_WEIGHTS, optional=True), replace(INSTANT_WEIGHTS, optional=True)),
    ),
    Preprocessor(
        "instant_id_face_embedding",
        f"{_P}.colours:untouched",
        describes=True,
        marks=("Instant-ID",),
        weights=(INSTANT_WEIGHTS,),
    ),
    Preprocessor(KEYPOINTS, f"{_P}.face_keypoints:instant_id_face_keypoints", marks=("Instant-ID",)),
    *(
        Preprocessor(name, f"{_P}.colours:untouched", describes=True, marks=("IP-Adapter",), weights=(FACE_WEIGHTS,))
        for name in ("ip-adapter_face_id", "ip-adapter_face_id_plus")
    ),
    *(
        Preprocessor(name, f"{_P}.colours:untouched", label=label, describes=True, marks=("IP-Adapter",))
        for name, label in (
            ("ip-adapter_clip_sd15", "ip-adapter_clip_h"),
            ("ip-adapter_clip_sdxl", "ip-adapter_clip_g"),
            ("ip-adapter_clip_sdxl_plus_vith", ""),
        )
    ),
    *(
        Preprocessor(
            name,
            f"{_P}.openpose:{name}",
            marks=("OpenPose",),
            weights=tuple(WeightsOf("openpose", (file,), optional=True) for file in ("body_pose_model.pth", *parts)),
        )
        for name, parts in (
            ("openpose_full", ("hand_pose_model.pth", "facenet.pth")),
            ("openpose_hand", ("hand_pose_model.pth",)),
            ("openpose_faceonly", ("facenet.pth",)),
            ("openpose_face", ("facenet.pth",)),
            ("openpose", ()),
        )
    ),
    Preprocessor(
        "dw_openpose_full",
        f"{_P}.openpose:dw_openpose_full",
        marks=("OpenPose",),
        weights=tuple(
            WeightsOf("openpose", (name,), optional=True) for name in ("yolox_l.onnx", "dw-ll_ucoco_384.onnx")
        ),
    ),
    Preprocessor(
        "mediapipe_face",
        f"{_P}.openpose:mediapipe_face",
        a=Range("Max Faces", 1, 1, 10, 1),
        b=Range("Min Face Confidence", 0.5, 0.01, 1.0, 0.01),
    ),
    Preprocessor(
        "depth",
        f"{_P}.midas:depth",
        label="depth_midas",
        marks=("Depth",),
        weights=(WeightsOf("midas", ("dpt_hybrid-midas-501f0c75.pt",)),),
    ),
    Preprocessor(
        "depth_zoe",
        f"{_P}.zoe:depth_zoe",
        marks=("Depth",),
        weights=(WeightsOf("zoedepth", ("ZoeD_M12_N.pt",)),),
    ),
    Preprocessor(
        "depth_leres",
        f"{_P}.leres:depth_leres",
        a=Range("Remove Near %", 0, 0, 100, 0.1),
        b=Range("Remove Background %", 0, 0, 100, 0.1),
        marks=("Depth",),
        weights=(WeightsOf("leres", ("res101.pth",)),),
    ),
    Preprocessor(
        "depth_anything",
        f"{_P}.depth_anything:depth_anything",
        marks=("Depth",),
        weights=(WeightsOf("depth_anything", tuple(f"depth_anything_vit{size}14.pth" for size in "lbs")),),
    ),
    Preprocessor(
        "depth_anything_v2",
        f"{_P}.depth_anything:depth_anything_v2",
        marks=("Depth",),
        weights=(WeightsOf("depth_anything_v2", tuple(f"depth_anything_v2_vit{size}.pth" for size in "lbsg")),),
    ),
    *(
        Preprocessor(
            name, f"{_P}.hed:{name}", label=label, marks=marks, weights=(WeightsOf("hed", ("ControlNetHED.pth",)),)
        )
        for name, label, marks in (
            ("hed", "softedge_hed", ("SoftEdge",)),
            ("hed_safe", "softedge_hedsafe", ("SoftEdge",)),
            ("scribble_hed", "", ("Scribble", "SparseCtrl")),
        )
    ),
    *(
        Preprocessor(
            name,
            f"{_P}.pidinet:{name}",
            label=label,
            marks=marks,
            weights=(WeightsOf("pidinet", ("table5_pidinet.pth",)),),
        )
        for name, label, marks in (
            ("pidinet", "softedge_pidinet", ("SoftEdge",)),
            ("pidinet_safe", "softedge_pidisafe", ("SoftEdge",)),
            ("pidinet_scribble", "scribble_pidinet", ("Scribble", "SparseCtrl")),
            ("pidinet_sketch", "t2ia_sketch_pidi", ("T2I-Adapter",)),
        )
    ),
    Preprocessor(
        "softedge_teed",
        f"{_P}.teed:softedge_teed",
        a=Range("Safe Steps", 2, 0, 10, 1),
        marks=("SoftEdge",),
        weights=(WeightsOf("TEED", ("7_model.pth",)),),
    ),
    *(
        Preprocessor(
            name, f"{_P}.drawings:{code}", label=label, marks=("Lineart",), weights=(WeightsOf(folder, (file,)),)
        )
        for name, code, label, folder, file in (
            ("lineart", "lineart", "lineart_realistic", "lineart", "sk_model.pth"),
            ("lineart_coarse", "lineart", "", "lineart", "sk_model2.pth"),
            ("lineart_anime", "lineart_anime", "", "lineart_anime", "netG.pth"),
        )
    ),
    Preprocessor(
        "normal_bae",
        f"{_P}.normals:normal_bae",
        marks=("NormalMap",),
        weights=(WeightsOf("normal_bae", ("scannet.pt",)),),
    ),
    *(
        Preprocessor(
            name,
            f"{_P}.{code}",
            label=label,
            marks=("Segmentation",),
            weights=(WeightsOf(folder, (file,)),),
        )
        for name, label, code, folder, file in (
            (
                "oneformer_ade20k",
                "seg_ofade20k",
                "oneformer:oneformer_ade20k",
                "oneformer",
                "250_16_swin_l_oneformer_ade20k_160k.pth",
            ),
            (
                "oneformer_coco",
                "seg_ofcoco",
                "oneformer:oneformer_coco",
                "oneformer",
                "150_16_swin_l_oneformer_coco_100ep.pth",
            ),
            ("segmentation", "seg_ufade20k", "uniformer:segmentation", "uniformer", "upernet_global_small.pth"),
        )
    ),
    Preprocessor(
        "mlsd",
        f"{_P}.straight_lines:mlsd",
        a=Range("MLSD Value Threshold", 0.1, 0.01, 2.0, 0.01),
        b=Range("MLSD Distance Threshold", 0.1, 0.01, 20.0, 0.01),
        marks=("MLSD",),
        weights=(WeightsOf("mlsd", ("mlsd_large_512_fp32.pth",)),),
    ),
    Preprocessor(
        "clip_vision", f"{_P}.colours:untouched", label="t2ia_style_clipvision", describes=True, marks=("T2I-Adapter",)
    ),
    *(
        Preprocessor(
            name,
            f"{_P}.colours:untouched",
            a=Range("Noise Augmentation", 0.0, 0.0, 1.0, 0.01),
            model_free=True,
            describes=True,
            marks=("Revision",),
        )
        for name in ("revision_clipvision", "revision_ignore_prompt")
    ),
)


UNBUILT: Mapping[str, str] = MappingProxyType(
    {
        "softedge_anyline": "",
        "depth_leres++": "",
        "depth_hand_refiner": "",
        "normal_map": "normal_midas",
        "normal_dsine": "",
        "animal_openpose": "",
        "densepose": "densepose (pruple bg & purple torso)",
        "densepose_parula": "densepose_parula (black bg & blue torso)",
        "lineart_anime_denoise": "",
        "anime_face_segment": "seg_anime_face",
        "mobile_sam": "",
        "facexlib": "",
        "ip-adapter_pulid": "",
        "inpaint_only+lama": "",
    }
)
"""Preprocessors that programs ask for and this version lacks: name -> what lists call it, where that differs."""


def _by_names() -> Mapping[str, Preprocessor]:
    found = {each.name: each for each in TABLE}
    unbuilt = {name: Preprocessor(name, "", label=title) for name, title in UNBUILT.items()}
    unbuilt |= {each.title: each for each in unbuilt.values()}
    return MappingProxyType({**unbuilt, **{each.title: each for each in TABLE}, **found, "None": NONE})


KNOWN = _by_names()


def preprocessor(name: str) -> Preprocessor:
    """The one of this name, or which lists call so; A1111's extension minds upper and lower case, too.

    Raises:
        NotFound: there is none.
    """
    found = KNOWN.get(name)
    if found is None:
        raise NotFound(
            f"There is no preprocessor named {name!r}.", hint=did_you_mean(name, list(KNOWN)), field="module"
        )
    return found


def titles() -> list[str]:
    return [each.title for each in TABLE]


def table_of_files() -> str:
    """Which preprocessors need which files, in Markdown, for docs/CONTROL.md."""
    files: dict[tuple[WeightsOf, ...], list[str]] = {}
    for each in TABLE:
        if each.weights:
            files.setdefault(each.weights, []).append(f"`{each.title}`")
    lines = ["| preprocessor | its files, below `models/ControlNetPreprocessor` |", "|---|---|"]
    for weights, titles in files.items():
        named = (" or ".join(f"`{file.folder}/{name}`" for name in file.names) for file in weights)
        lines.append(f"| {', '.join(titles)} | {'; '.join(named)} |")
    return "\n".join(lines)
