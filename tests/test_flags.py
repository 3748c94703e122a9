"""The command line: every flag of A1111 is taken, and what it says reaches the part that it concerns."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from webui import flags
from webui.base import version
from webui.base.errors import UserError
from webui.base.paths import PROGRAM

A1111 = """
-f --update-all-extensions --skip-python-version-check --skip-torch-cuda-test --reinstall-xformers --reinstall-torch
--update-check --test-server --log-startup --skip-prepare-environment --skip-install --dump-sysinfo --loglevel=INFO
--exit --skip-version-check --data-dir=x --models-dir=x --config=x --ckpt=x --ckpt-dir=x --vae-dir=x --vae-path=x
--gfpgan-dir=x --gfpgan-model=x --embeddings-dir=x --textual-inversion-templates-dir=x --hypernetwork-dir=x
--localizations-dir=x --codeformer-models-path=x --gfpgan-models-path=x --esrgan-models-path=x --bsrgan-models-path=x
--realesrgan-models-path=x --dat-models-path=x --clip-models-path=x --lora-dir=x --lyco-dir-backcompat=x --lyco-dir=x
--ldsr-models-path=x --scunet-models-path=x --swinir-models-path=x --styles-file=x --ui-config-file=x
--ui-settings-file=x --no-half --no-half-vae --precision=full --upcast-sampling --medvram --medvram-sdxl --lowvram
--lowram --opt-channelslast --disable-model-loading-ram-optimization --disable-nan-check --do-not-download-clip
--xformers --force-enable-xformers --xformers-flash-attention --opt-split-attention --opt-sub-quad-attention
--sub-quad-q-chunk-size=1024 --sub-quad-kv-chunk-size=0 --sub-quad-chunk-threshold=0
--opt-split-attention-invokeai --opt-split-attention-v1 --opt-sdp-attention --opt-sdp-no-mem-attention
--disable-opt-split-attention --device-id=1 --use-cpu=all --use-ipex --listen --port=7861 --server-name=x --share
--ngrok=x --ngrok-options={} --subpath=x --disable-tls-verify --timeout-keep-alive=30 --cors-allow-origins=x
--cors-allow-origins-regex=x --gradio-auth=a:b --gradio-allowed-path=x --gradio-debug --no-gradio-queue --autolaunch
--theme=dark --api --nowebui --api-auth=a:b --api-log --api-server-stop --skip-load-model-at-start
--hide-ui-dir-config --freeze-settings --freeze-settings-in-sections=x --freeze-specific-settings=x --ui-debug-mode
--use-textbox-seed --no-progressbar-hiding --disable-console-progressbars --no-prompt-history
--unix-filenames-sanitization --filenames-max-length=128 --no-hashing --no-download-sd-model --allow-code
--disable-safe-unpickle --enable-insecure-extension-access --disable-all-extensions --disable-extra-extensions
--administrator --max-batch-count=16 --always-batch-cond-uncond --unload-gfpgan --ngrok-region=x --deepdanbooru
--show-negative-prompt --gradio-img2img-tool=x --gradio-inpaint-tool=x --enable-console-prompts --gradio-queue
--add-stop-route
""".split()  # noqa: SIM905 - a list of words is read more easily so


@pytest.mark.parametrize("flag", A1111)
def test_every_flag_of_a1111_is_taken(flag: str) -> None:
    flags.read([flag])


def test_several_values_come_one_after_the_other_or_by_repeating() -> None:
    line = "--use-cpu all interrogate --ckpt-dir a --ckpt-dir b --gradio-auth a:b"
    found = flags.read(line.split())
    assert found.use_cpu == ("all", "interrogate")
    assert found.ckpt_dir == (Path("a"), Path("b"))
    assert found.paths.checkpoint_dirs == (Path("a").resolve(), Path("b").resolve())


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("--use-cpu all", "device", "cpu"),
        ("--use-cpu interrogate", "device", ""),
        ("--device-id 2", "device", "cuda:2"),
        ("--medvram", "offload", "medium"),
        ("--lowvram --medvram", "offload", "low"),
        ("--xformers", "attention", "xformers"),
        ("--force-enable-xformers", "attention", "xformers"),
        ("--opt-sdp-no-mem-attention", "attention", "sdpa"),
        ("--opt-sub-quad-attention", "attention", "sub-quadratic"),
        ("--precision full", "precision", "full"),
        ("--no-half", "no_half", True),
        ("--no-half-vae", "no_half_vae", True),
        ("--models-dir /m", "models_dir", str(Path("/m").resolve())),
        ("", "models_dir", str(PROGRAM / "models")),
    ],
)
def test_what_the_engine_is_told(line: str, field: str, value: object) -> None:
    assert getattr(flags.read(line.split()).engine, field) == value


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--prot 7860", "Did you mean --port?"),
        ("--port many", "--port"),
        ("--port 70000", "70000"),
        ("--theme blue", "dark"),
        ("--tls-keyfile k", "--tls-certfile"),
        ("--gradio-auth-path /no/such/file", "/no/such/file"),
        ("--data-dir", "--data-dir"),
    ],
)
def test_a_slip_is_answered_in_a_sentence(line: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        flags.read(line.split())
    assert words in str(caught.value)


def test_a_flag_without_effect_is_noted() -> None:
    assert flags.read(["--deepdanbooru", "--ngrok", "x"]).without_effect == ("--deepdanbooru", "--ngrok")


def test_the_table_names_every_flag_once() -> None:
    table = flags.markdown()
    for name in flags.declared():
        assert table.count(f"`{flags.spelling(name)}`") + table.count(f"`{flags.spelling(name)} ") >= 1, name
    for group in flags.WITHOUT_EFFECT:
        for spelling in group.names:
            assert f"`{spelling}`" in table


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((PROGRAM / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == version.VERSION
