"""Files of `torch.save`: whatever training programs write is read, and nothing that a file says is ever run."""

from __future__ import annotations

import copyreg
import functools
import io
import operator
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from webui.base.errors import ModelError
from webui.engine.families.pickles import DAMAGE, Forbidden, read_pickle
from webui.engine.families.weights import load_pickle, open_weights

FORMS = [(protocol, zipped) for protocol in (1, 2, 3, 4, 5) for zipped in (True, False)]


def foreign(monkeypatch: pytest.MonkeyPatch, name: str, base: type = object) -> type:
    """A class of a program that is not installed."""
    module_name, _, class_name = name.rpartition(".")
    made = type(class_name, (base,), {"__module__": module_name})
    parts = module_name.split(".")
    for length in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:length]), types.ModuleType(".".join(parts[:length])))
    setattr(sys.modules[module_name], class_name, made)
    return made


class As:
    """Is pickled as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.filterwarnings("ignore:.*pickle protocol.*")
@pytest.mark.parametrize(("protocol", "zipped"), FORMS)
def test_what_training_programs_write_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, zipped: bool
) -> None:
    numbers = torch.arange(12.0).reshape(3, 4)
    tensors: dict[str, Tensor] = {
        "plain": numbers,
        "turned": numbers.T,
        "part": numbers[1:, 2],
        "half": numbers.half(),
        "bfloat16": numbers.bfloat16(),
        "whole": torch.arange(3),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "mask": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(numbers),
    }
    if zipped:
        tensors["float8"] = numbers.to(torch.float8_e4m3fn)
    ordered = OrderedDict(tensors)
    ordered._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    callback = foreign(monkeypatch, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")()
    callback.monitor = torch.zeros(2)
    config = foreign(monkeypatch, "omegaconf.dictconfig.DictConfig", dict)(lr=[1e-4])
    file = tmp_path / "model.ckpt"
    saved = {
        "state_dict": ordered,
        "global_step": np.int64(7),
        "loss": np.float32(0.5),
        "callbacks": {type(callback): {"best": np.float64(2.0)}, "other": callback},
        "hyper_parameters": config,
        "names": {"a", "b"},
        "bytes": (b"", b"\x00\xff", bytearray(b"xy")),
        "types": (torch.float16, torch.Size([1, 2]), torch.device("cpu"), complex(1, 2)),
        "counts": (defaultdict(list, a=[1]), Counter("aab")),
        "arrays": [
            np.arange(6, dtype=np.float32).reshape(2, 3),
            np.asfortranarray(np.arange(6).reshape(2, 3)),
            np.arange(3, dtype=">i4"),
            np.array(["ab", "c"]),
            np.zeros((0, 2)),
        ],
        "path": Path("somewhere"),
        "random": np.random.RandomState(0),
    }
    torch.save(saved, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found = load_pickle(file)
    assert found["state_dict"].keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found["state_dict"][name].float(), tensor.detach().float()), name
        assert found["state_dict"][name].dtype == tensor.dtype
    assert (found["global_step"], found["loss"]) == (7, 0.5)
    assert (found["names"], found["bytes"]) == (saved["names"], saved["bytes"])
    assert found["types"][:2] == (torch.float16, (1, 2))
    assert found["counts"] == saved["counts"]
    for array, expected in zip(found["arrays"], saved["arrays"], strict=True):
        assert np.array_equal(array, expected)
        assert array.shape == expected.shape
    assert open_weights(file).shapes.keys() == tensors.keys()


@pytest.mark.filterwarnings("ignore:.*pickle protocol.*")
@pytest.mark.parametrize("protocol", [2, 4])
def test_the_first_embeddings_hold_a_dictionary_of_parameters(tmp_path: Path, protocol: int) -> None:
    vectors = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.ones(2, 8))})
    torch.save({"string_to_param": vectors}, tmp_path / "word.pt", pickle_protocol=protocol)
    assert torch.equal(load_pickle(tmp_path / "word.pt")["string_to_param"]["*"], torch.ones(2, 8))


@pytest.mark.parametrize("way", ["storage", "array", "host"])
def test_what_was_saved_on_a_mac_is_read_anywhere(tmp_path: Path, way: str) -> None:
    file, numbers = tmp_path / "mac.pt", torch.arange(6.0).reshape(2, 3)
    rebuilt = {
        "storage": numbers,
        "array": As(torch._utils._rebuild_device_tensor_from_numpy, (numbers.numpy(), torch.float16, "mps:0", False)),
        "host": As(torch._utils._rebuild_device_tensor_from_cpu_tensor, (numbers, torch.float16, "mps:0", False)),
    }[way]
    torch.save({"x": rebuilt}, file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:  # its storages lie anywhere, not at multiples of 64
        for name, content in parts.items():
            archive.writestr(name, content.replace(b"\x03\0\0\0cpu", b"\x05\0\0\0mps:0"))
    found = load_pickle(file)["x"]
    assert torch.equal(found.float(), numbers)
    assert found.device.type == "cpu"


def test_a_packed_archive_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "packed.pt"
    torch.save({"x": torch.ones(100)}, file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert torch.equal(load_pickle(file)["x"], torch.ones(100))


# ---------------------------------------------------------------- hostile files


def hostile_objects(trace: Path) -> dict[str, Any]:
    command = f"touch {trace}"
    touch = f"open({str(trace)!r}, 'w')"
    objects = np.empty(1, dtype=object)
    objects[0] = As(os.system, (command,))
    return {
        "os.system": As(os.system, (command,)),
        "eval": As(eval, (touch,)),
        "exec": As(exec, (touch,)),
        "import": As(__import__, ("os",)),
        "open": As(open, (str(trace), "w")),
        "getattr": As(getattr, (dict, "__subclasses__")),
        "partial": As(functools.partial, (os.system, command)),
        "attrgetter": As(operator.attrgetter, ("__class__",)),
        "module of an allowed class": As(operator.methodcaller, ("mro",)),
        "array of objects": objects,
        "kind of objects": As(np.dtype, ("O",)),
        "kind with fields": np.zeros(1, dtype=[("a", "i4")]),
        "codec": As(__import__("_codecs").encode, ("uryyb", "rot13")),
        "unpacking codec": As(__import__("_codecs").decode, (b"x", "zlib")),
        "another pickle": As(pickle.loads, (pickle.dumps(As(os.system, (command,))),)),
        "bytes of torch": As(torch.storage._load_from_bytes, (b"x",)),
        "torch.load": As(torch.load, (str(trace),)),
        "sparse": torch.eye(2).to_sparse(),
        "module": torch.nn.Linear(1, 1),
        "state for a class": As(OrderedDict, (), None, None, iter([("x", As(os.system, (command,)))])),
        "many zeros": As(bytearray, (2**50,)),
        "a long range": As(list, (range(2**40),)),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", hostile_objects(Path("trace")))
def test_everything_else_is_refused_by_name_and_runs_nothing(tmp_path: Path, name: str, protocol: int) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.pt"
    evil = hostile_objects(trace)[name]
    if protocol:
        torch.save({"x": torch.zeros(1), "y": evil}, file, pickle_protocol=protocol)
    else:
        with file.open("wb") as stream:
            pickle.dump(evil if name not in ("sparse", "module") else As(os.system, ("true",)), stream, protocol)
    with pytest.raises(ModelError) as caught:
        load_pickle(file)
    assert "evil.pt" in caught.value.message
    assert "is refused" in caught.value.message or name == "many zeros"
    assert not trace.exists()


OPCODES: dict[str, bytes] = {
    "an instance": b"(S'touch %s'\nios\nsystem\n.",
    "an object": b"(cos\nsystem\nS'touch %s'\no.",
    "a name with dots": b"\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.",
    "an attribute of a function": b"\x80\x04\x8c\x0ctorch._utils\x8c\x1f_rebuild_tensor_v2.__globals__\x93.",
    "a registered number": b"\x80\x02\x82\x01X\x07\0\0\0touch %s\x85R.",
    "a state of a name": b"\x80\x02ccollections\nOrderedDict\n}X\x01\0\0\0xK\x01sb.",
    "a large memo": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
    "a storage of another kind": b"\x80\x02(X\x06\0\0\0modulecos\nsystem\ntQ.",
    "a persistent name": b"Pstorage\n.",
    "a text without end": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.",
    "a tuple in itself": b"\x80\x02]q\x00h\x00a\x85q\x01h\x01.",
    "a negative memo": b"g-1\n.",
}


@pytest.mark.parametrize("name", OPCODES)
def test_programs_that_no_pickler_writes_run_nothing_and_take_no_memory(tmp_path: Path, name: str) -> None:
    trace, file = tmp_path / "trace", tmp_path / "x.pt"
    program = OPCODES[name].replace(b"%s", str(trace).encode())
    copyreg.add_extension("os", "system", 1)
    try:
        for content in (program, archive_of(program)):
            file.write_bytes(content)
            try:
                read_pickle(file)
            except (Forbidden, *DAMAGE):
                pass
            else:
                assert name in ("a tuple in itself", "a large memo")
                assert content != program
    finally:
        copyreg.remove_extension("os", "system", 1)
    assert not trace.exists()


def archive_of(program: bytes, **storages: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key[1:]}", content)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((5,), (1,), 0), ((2, 2), (2, 2), 1), ((2,), (-1,), 1), ((1,), (1,), 4), ((2**40,), (0,), 0), ((1,), (1,), -1)],
)
def test_a_tensor_reaches_nowhere_beyond_its_storage(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if thing == "here" else None

    program = io.BytesIO()
    Pickler(program, 2).dump(As(torch._utils._rebuild_tensor_v2, ("here", offset, size, stride, False, OrderedDict())))
    file = tmp_path / "x.pt"
    file.write_bytes(archive_of(program.getvalue(), _0=struct.pack("<4f", 1, 2, 3, 4)))
    with pytest.raises(ModelError, match=r"storage|shape"):
        load_pickle(file)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_was_cut_or_altered_is_read_or_refused(tmp_path: Path, zipped: bool) -> None:
    whole, file = tmp_path / "whole.pt", tmp_path / "altered.pt"
    saved = {"x": torch.arange(8.0), "n": np.float32(1.0), "a": np.arange(3), "p": torch.nn.Parameter(torch.ones(2))}
    torch.save(saved, whole, _use_new_zipfile_serialization=zipped)
    content = whole.read_bytes()
    draw = np.random.default_rng(0)
    cuts = [content[: int(length)] for length in draw.integers(0, len(content), 200)]
    flips = []
    for _ in range(600):
        flipped = bytearray(content)
        for place in draw.integers(0, len(content), 3):
            flipped[int(place)] = int(draw.integers(256))
        flips.append(bytes(flipped))
    for altered in [*cuts, *flips]:
        file.write_bytes(altered)
        try:
            load_pickle(file)
        except ModelError as error:
            assert "altered.pt" in error.message
