"""The launcher: its decisions for machines that are not this one, and its stories in a real shell."""

from __future__ import annotations

import ast
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import until
from webui import launcher as launch
from webui.launcher import Computer, Environment, GraphicsCard, Invocation, Obstacle

ROOT = Path(launch.PROGRAM)
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


# --- The command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "system", "expected"),
    [
        ('--ckpt-dir "my models" --port 80', "Linux", ["--ckpt-dir", "my models", "--port", "80"]),
        ('--ckpt-dir "C:\\Büro\\my models"', "Windows", ["--ckpt-dir", "C:\\Büro\\my models"]),
        ('--ckpt-dir="C:\\new folder" --x', "Windows", ["--ckpt-dir=C:\\new folder", "--x"]),
        ("--theme a\\ b #not-a-comment", "Linux", ["--theme", "a b", "#not-a-comment"]),
        ("", "Linux", []),
        ("--ckpt-dir C:\\Users\\O'Brien\\models --x", "Windows", ["--ckpt-dir", "C:\\Users\\O'Brien\\models", "--x"]),
        ('"--listen --port 80"', "Windows", ["--listen", "--port", "80"]),
        ("'--listen --medvram'", "Linux", ["--listen", "--medvram"]),
        ('"--listen"', "Windows", ["--listen"]),
        ('"a cat"', "Linux", ["a cat"]),
    ],
)
def test_preset_flags_are_split_as_the_shell_of_the_system_does(line: str, system: str, expected: list[str]) -> None:
    assert launch.words(line, system) == expected


def test_typed_flags_come_after_preset_ones_and_a_subcommand_before_both() -> None:
    env = {"COMMANDLINE_ARGS": "--port 1 --xformers"}
    wish = launch.read_wish(["--port", "2", "--reinstall"], env, "Linux")
    assert wish.rest == ("--port", "1", "--xformers", "--port", "2")
    assert wish.reinstall and wish.xformers and not wish.skip_install
    assert launch.port_asked_for(wish.rest) == 2
    assert launch.read_wish(["txt2img", "a cat"], env, "Linux").rest[:2] == ("txt2img", "--port")


def test_old_launcher_flags_are_understood_and_not_handed_on() -> None:
    wish = launch.read_wish(["-f", "--skip-torch-cuda-test", "--reinstall-torch", "--no-half"], {}, "Linux")
    assert wish.reinstall and wish.rest == ("--no-half",)


def test_tests_get_only_what_was_typed() -> None:
    wish = launch.read_wish(["--test", "-k", "house"], {"COMMANDLINE_ARGS": "--listen"}, "Linux")
    assert (wish.action, wish.rest) == ("test", ("-k", "house"))


def test_an_open_quotation_mark_is_named() -> None:
    with pytest.raises(Obstacle, match="COMMANDLINE_ARGS"):
        launch.read_wish([], {"COMMANDLINE_ARGS": '--theme "dark'}, "Linux")


@pytest.mark.parametrize(
    ("env", "system", "expected"),
    [
        ({"DISPLAY": ":0"}, "Linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "Linux", True),
        ({}, "Linux", False),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "Linux", False),
        ({"DISPLAY": ":0", "CI": "true"}, "Linux", False),
        ({}, "Windows", True),
        ({}, "Darwin", True),
        ({"SSH_TTY": "/dev/ttys001"}, "Darwin", False),
    ],
)
def test_where_a_browser_would_be_seen(env: dict[str, str], system: str, expected: bool) -> None:
    assert launch.has_desktop(env, system) is expected


@pytest.mark.parametrize(
    ("rest", "opens"),
    [
        ((), True),
        (("--port=8000",), True),
        (("--listen",), False),
        (("--server-name=0.0.0.0",), False),
        (("txt2img", "a red apple"), False),
        (("--nowebui",), False),
    ],
)
def test_the_browser_opens_only_for_a_page_on_this_desktop(rest: tuple[str, ...], opens: bool) -> None:
    assert ("--desktop" in launch.ui_arguments(Invocation(rest=rest), {"DISPLAY": ":0"}, "Linux")) is opens


def test_no_browser_means_none() -> None:
    wish = launch.read_wish(["--no-browser"], {}, "Windows")
    assert launch.ui_arguments(wish, {}, "Windows") == []


def test_exit_codes_are_a_shells() -> None:
    assert [launch.exit_code(code) for code in (0, 3, -signal.SIGINT, -9)] == [0, 3, 130, 137]


# --- Which Python, which torch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "bits", "modules", "said"),
    [
        ((3, 8), 64, ("venv", "ensurepip"), "3.11 to 3.14; this is Python 3.8"),
        ((3, 15), 64, ("venv", "ensurepip"), "this is Python 3.15"),
        ((3, 12), 32, ("venv", "ensurepip"), "64-bit"),
        ((3, 11), 64, ("venv",), "ensurepip"),
        ((3, 11), 64, ("ensurepip",), "venv"),
    ],
)
def test_a_python_that_will_not_do_is_refused_with_the_reason(
    version: tuple[int, int], bits: int, modules: tuple[str, ...], said: str
) -> None:
    with pytest.raises(Obstacle, match=said) as caught:
        launch.check_python(version, bits, modules, "Linux")
    assert caught.value.todo


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_a_python_that_will_do_passes(minor: int) -> None:
    launch.check_python((3, minor), 64, ("venv", "ensurepip"), "Windows")


def test_a_debian_without_venv_is_told_the_package() -> None:
    with pytest.raises(Obstacle) as caught:
        launch.check_python((3, 12), 64, (), "Linux")
    assert "apt install python3.12-venv" in caught.value.todo


def test_any_python_can_read_what_is_started_and_says_which_one_is_needed() -> None:
    """Python 2.7 and 3.6 read a whole file before they run its first line: nothing newer may stand in it."""
    tree = ast.parse((ROOT / "launch.py").read_text(encoding="utf-8"), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Starred, ast.Nonlocal)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert "from __future__" not in (ROOT / "launch.py").read_text(encoding="utf-8")
    older = "import sys; sys.version_info = (2, 7, 18); exec(open('launch.py').read())"
    done = subprocess.run([sys.executable, "-c", older], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "this is Python 2.7" in done.stderr and "Traceback" not in done.stderr


def test_an_old_python_can_read_the_launcher_far_enough_to_be_told() -> None:
    ast.parse((ROOT / "webui" / "launcher.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def nvidia(kind: str, driver: str = "580.65.06") -> GraphicsCard:
    return GraphicsCard("nvidia", "GeForce", kind, driver)


def amd(kind: str) -> GraphicsCard:
    return GraphicsCard("amd", f"AMD graphics {kind}", kind)


@pytest.mark.parametrize(
    ("system", "arch", "cards", "backend", "index"),
    [
        ("Linux", "x86_64", [], "cpu", "/cpu"),
        ("Linux", "aarch64", [], "cpu", "/cpu"),
        ("Windows", "AMD64", [], "cpu", "/cpu"),
        ("Darwin", "arm64", [], "mps", ""),
        ("Linux", "x86_64", [nvidia("8.6")], "cuda", "/cu130"),
        ("Windows", "AMD64", [nvidia("8.9", "581.15")], "cuda", "/cu130"),
        ("Linux", "x86_64", [nvidia("8.9", "550.54.14")], "cuda", "/cu126"),
        ("Linux", "x86_64", [nvidia("6.1")], "cuda", "/cu126"),
        ("Linux", "x86_64", [nvidia("7.0"), nvidia("9.0")], "cuda", "/cu126"),
        ("Linux", "x86_64", [nvidia("12.0")], "cuda", "/cu130"),
        ("Linux", "x86_64", [nvidia("12.0", "570.1")], "cuda", "/cu130"),
        ("Linux", "x86_64", [nvidia("", "470.1")], "cuda", "/cu126"),
        ("Linux", "x86_64", [nvidia("3.5", "470.1")], "cpu", "/cpu"),
        ("Linux", "x86_64", [nvidia("", "")], "cpu", "/cpu"),
        ("Linux", "aarch64", [nvidia("9.0")], "cuda", "/cu130"),
        ("Linux", "x86_64", [amd("gfx1100")], "rocm", "/rocm7.2"),
        ("Linux", "x86_64", [amd("gfx1036"), amd("gfx1201")], "rocm", "/rocm7.2"),
        ("Linux", "x86_64", [amd("gfx1031")], "rocm", "/rocm7.2"),
        ("Linux", "x86_64", [amd("gfx803")], "cpu", "/cpu"),
        ("Linux", "x86_64", [amd("")], "cpu", "/cpu"),
        ("Windows", "AMD64", [amd("")], "cpu", "/cpu"),
        ("Linux", "x86_64", [GraphicsCard("intel", "Arc A770", "56a0")], "xpu", "/xpu"),
        ("Windows", "AMD64", [GraphicsCard("intel", "Arc B580", "e20b")], "xpu", "/xpu"),
        ("Linux", "x86_64", [GraphicsCard("intel", "UHD 630", "3e92")], "cpu", "/cpu"),
        ("Linux", "x86_64", [GraphicsCard("intel", "UHD 630", "3e92"), nvidia("7.5")], "cuda", "/cu130"),
    ],
)
def test_the_build_of_torch_fits_the_machine(
    system: str, arch: str, cards: list[GraphicsCard], backend: str, index: str
) -> None:
    choice = launch.choose_torch(Computer(system, arch, cards))
    assert (choice.backend, choice.wheels.rpartition("whl")[2]) == (backend, index)


@pytest.mark.parametrize(("system", "arch"), [("Darwin", "x86_64"), ("Linux", "armv7l"), ("Linux", "riscv64")])
def test_a_machine_without_any_build_is_told_so(system: str, arch: str) -> None:
    with pytest.raises(Obstacle, match=arch):
        launch.choose_torch(Computer(system, arch))


@pytest.mark.parametrize(
    ("card", "advice"),
    [
        (nvidia("12.0", "570.1"), "update it to 580"),
        (nvidia("7.5", "470.1"), "update it to 525"),
        (nvidia("", ""), "driver"),
        (nvidia("3.0"), "older than PyTorch supports"),
        (amd("gfx803"), "gfx803"),
    ],
)
def test_a_card_that_cannot_be_used_comes_with_advice(card: GraphicsCard, advice: str) -> None:
    assert advice in launch.choose_torch(Computer("Linux", "x86_64", [card])).advice


def test_small_rdna2_cards_are_presented_as_their_big_sister() -> None:
    choice = launch.choose_torch(Computer("Linux", "x86_64", [amd("gfx1032")]))
    assert choice.environment == {"HSA_OVERRIDE_GFX_VERSION": "10.3.0"}


def test_without_its_index_a_build_comes_from_the_default_one_and_says_what_is_lost() -> None:
    cuda = launch.choose_torch(Computer("Linux", "x86_64", [nvidia("8.6")]))
    assert launch.without_index(cuda, "Linux") == cuda._replace(wheels="")
    on_windows = launch.without_index(cuda, "Windows")
    assert (on_windows.backend, on_windows.wheels) == ("cpu", "")
    assert "--reinstall" in on_windows.advice
    rocm = launch.choose_torch(Computer("Linux", "x86_64", [amd("gfx1100")]))
    assert "GPU is not used" in launch.without_index(rocm, "Linux").advice


def test_environment_variables_overrule_the_choice_of_torch() -> None:
    choice = launch.choose_torch(Computer("Linux", "x86_64"))
    assert launch.torch_arguments(choice, {}, "Linux")[:3] == ["pip", "install", launch.TORCH]
    at = launch.torch_arguments(choice, {"TORCH_INDEX_URL": "https://mirror.example/whl"}, "Linux")
    assert at[-2:] == ["--index-url", "https://mirror.example/whl"]
    command = launch.torch_arguments(choice, {"TORCH_COMMAND": "pip install 'my torch.whl'"}, "Linux")
    assert command == ["pip", "install", "my torch.whl"]
    assert "--index-url" not in launch.torch_arguments(choice._replace(wheels=""), {}, "Linux")


def test_what_drivers_and_kernel_say_is_read() -> None:
    assert launch.nvidia_cards("NVIDIA H100 80GB HBM3, 570.86, 9.0\nTesla T4, 570.86, 7.5\n") == [
        GraphicsCard("nvidia", "NVIDIA H100 80GB HBM3", "9.0", "570.86"),
        GraphicsCard("nvidia", "Tesla T4", "7.5", "570.86"),
    ]
    assert launch.nvidia_cards("Tesla K80, 470.1")[0].kind == ""
    assert launch.nvidia_cards("No devices were found\n") == []
    assert [launch.amd_kind(version) for version in (110000, 90010, 100301, 90402)] == [
        "gfx1100", "gfx90a", "gfx1031", "gfx942",
    ]  # fmt: skip
    assert launch.pci_cards([("10DE", "2684"), ("1af4", "1050"), ("8086", "56A0")]) == [
        GraphicsCard("nvidia", "NVIDIA graphics 2684", "2684"),
        GraphicsCard("intel", "Intel graphics 56a0", "56a0"),
    ]


@pytest.mark.parametrize(
    ("output", "code", "free", "what", "todo"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", 1, 10**12,
         "disk is full", "TMPDIR"),
        ("ERROR: write failed", 1, 0, "disk is full", "space"),
        ("WARNING: Retrying after NewConnectionError('Temporary failure in name resolution')\n"
         "ERROR: No matching distribution found for accelerate==1.15.0", 1, 10**12, "no network", "HTTPS_PROXY"),
        ("ERROR: No matching distribution found for torch==2.13.0", 1, 10**12, "torch==2.13.0", "3.12"),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'", 1, 10**12,
         "cannot be written", "VENV_DIR"),
        ("error: externally-managed-environment", 1, 10**12, "belongs to the system", "VENV_DIR"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", 1, 10**12, "pinned", "purge"),
        ("SSLError(SSLCertVerificationError('CERTIFICATE_VERIFY_FAILED'))", 1, 10**12, "secure connection", "clock"),
        ("", -9, 10**12, "memory", "start again"),
        ("x\nERROR: something new\n", 2, 10**12, "code 2: something new", "again"),
    ],
)  # fmt: skip
def test_a_failure_of_pip_becomes_one_sentence(output: str, code: int, free: int, what: str, todo: str) -> None:
    said, advice = launch.explain(output, code, free)
    assert what in said and todo in advice
    assert "\n" not in said


def test_the_torch_that_is_installed_is_judged_by_what_it_does() -> None:
    card = Computer("Linux", "x86_64", [nvidia("8.6")])
    good = {"version": "2.13.0+cu130", "device": "cuda", "name": "GeForce", "error": ""}
    assert launch.judge_torch(good, card).level == "ok"
    blind = launch.judge_torch({"version": "2.13.0+cpu", "device": "cpu", "name": "", "error": ""}, card)
    assert (blind.level, "--reinstall" in blind.todo) == ("warn", True)
    assert launch.judge_torch({**good, "error": "no kernel image is available"}, card).level == "FAIL"
    assert launch.judge_torch({}, card).level == "FAIL"


# --- The locks -------------------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "webui" / "lock" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", text, re.MULTILINE))


def test_the_locks_hold_what_the_project_declares_and_no_gpu_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {
        "runtime": project["project"]["dependencies"],
        "cuda": project["project"]["optional-dependencies"]["cuda"],
        "dev": project["dependency-groups"]["dev"],
    }
    for lock, requirements in declared.items():
        for requirement in requirements:
            name, _, version = requirement.partition("==")
            if name == "torch":
                assert requirement == launch.TORCH
            else:
                assert pins(lock)[name] == version
        assert not [name for name in pins(lock) if re.match(r"torch$|nvidia|triton|cuda", name)]
    assert all(version == pins("runtime").get(name, version) for name, version in pins("dev").items())


@pytest.mark.parametrize("lock", ["runtime", "dev", "cuda"])
def test_every_pin_has_its_hashes_and_no_index_of_its_own(lock: str) -> None:
    text = (ROOT / "webui" / "lock" / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=[a-z])", text.partition("\n")[2].partition("\n")[2])
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_of_the_page_s_tools_pins_by_content_and_names_no_host() -> None:
    folder = ROOT / launch.PAGE_CHECKS
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in packages.values())


@posix
def test_the_page_s_tools_are_fetched_once_and_without_them_a_sentence_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python is a script here, which writes down how it is called and fails while there is a file of the name."""
    shutil.copytree(ROOT / launch.PAGE_CHECKS, tmp_path / launch.PAGE_CHECKS, ignore=lambda *_: ["node_modules"])
    python = tmp_path / "python"
    python.write_text(
        f"""#!/bin/sh
        echo "$3" >> "{tmp_path}/called"
        [ "$1" = -c ] && [ -e "{tmp_path}/offline" ] && exit 1
        [ "$1" = -c ] && mkdir -p node_modules
        [ "$3" != "{tmp_path}/tests/js/node_modules/eslint/bin/eslint.js" ]
        """,
        encoding="utf-8",
    )
    python.chmod(0o755)
    home = Environment(str(tmp_path), str(python), own=True)
    (tmp_path / "offline").touch()
    assert launch.check_page(home, str(tmp_path)) == ["npm ci"]
    assert "registry" in capfd.readouterr().out
    (tmp_path / "offline").unlink()
    for _ in range(2):
        assert launch.check_page(home, str(tmp_path)) == ["eslint"]
    called = (tmp_path / "called").read_text().split()
    assert [Path(one).name for one in called] == [
        "ci", "ci", "tsc", "eslint.js", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
        "tsc", "eslint.js", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
    ]  # fmt: skip


# --- Stories ---------------------------------------------------------------------------------------------------------


class Checkout:
    """A copy of what a start needs, in a folder with a space and an umlaut; its environment's Python is a script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "webui").mkdir(parents=True)
        shutil.copytree(ROOT / "webui" / "lock", folder / "webui" / "lock")
        for name in ("launch.py", "webui-user.sh", "webui/__init__.py", "webui/launcher.py"):
            shutil.copy(ROOT / name, folder / name)
        self.home = Environment(str(folder / ".venv"), str(folder / ".venv" / "bin" / "python"), own=True)

    def install(self, script: str, *, without: tuple[str, ...] = ()) -> None:
        python = Path(self.home.python)
        python.parent.mkdir(parents=True)
        (python.parents[1] / "pyvenv.cfg").touch()
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(0o755)
        parts = launch.wanted_parts(Invocation(), {}, self.home, {})
        stamp = {"backend": "cpu", **{part: mark for part, mark in parts.items() if part not in without}}
        launch.write_stamp(self.home, stamp)

    def start(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "webui-user.sh"), *arguments],
            env=self.env(**env), stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8",
            timeout=60, check=False,
        )  # fmt: skip

    def env(self, **more: str) -> dict[str, str]:
        ours = ("COMMANDLINE_ARGS", "VENV_DIR", "TORCH_COMMAND", "TORCH_INDEX_URL", "DISPLAY", "WAYLAND_DISPLAY", "CI")
        kept = {name: value for name, value in os.environ.items() if name not in ours and "SSH" not in name}
        return {**kept, "PYTHON": sys.executable, "PYTHONIOENCODING": "utf-8", **more}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "Größe der Bilder")


SAY_ARGUMENTS = """for word in "$@"; do printf '<%s>' "$word"; done; echo; printf '%s\\n' "$PYTHONPATH" """


@posix
def test_a_later_start_runs_no_pip_and_hands_every_flag_on_unharmed(checkout: Checkout) -> None:
    checkout.install(SAY_ARGUMENTS)
    done = checkout.start("--vae-dir", "tür & tor", COMMANDLINE_ARGS='--ckpt-dir "my models"', PYTHONPATH="/other")
    said, path = done.stdout.splitlines()
    assert said == "<-P><-m><webui><--ckpt-dir><my models><--vae-dir><tür & tor>"
    assert path == f"{checkout.folder}:/other"
    assert done.returncode == 0, done.stderr


@posix
def test_a_start_from_elsewhere_through_a_link_finds_its_folder(checkout: Checkout, tmp_path: Path) -> None:
    checkout.install(SAY_ARGUMENTS)
    (tmp_path / "gesso").symlink_to(checkout.folder / "webui-user.sh")
    command = [str(tmp_path / "gesso"), "--nowebui"]
    done = subprocess.run(command, cwd=tmp_path, env=checkout.env(), capture_output=True, text=True, check=False)
    assert done.stdout.startswith("<-P><-m><webui><--nowebui>"), done.stderr


@posix
def test_the_ui_can_ask_to_be_started_again_in_two_ways_and_the_last_exit_code_counts(checkout: Checkout) -> None:
    checkout.install(
        """echo run >> "$PYTHONPATH/runs"
        echo "$GESSO_RESTARTED $*"
        case $(wc -l < "$PYTHONPATH/runs" | tr -d ' ') in
            1) exit 75 ;;
            2) touch "$GESSO_RESTART_FILE" ;;
            *) exit 3 ;;
        esac"""
    )
    done = checkout.start("--theme", "dark", DISPLAY=":0")
    starts = [line for line in done.stdout.splitlines() if "webui" in line]
    assert starts == [
        " -P -m webui --theme dark --desktop",
        "1 -P -m webui --theme dark",
        "1 -P -m webui --theme dark",
    ]
    assert done.returncode == 3
    assert not list(checkout.folder.rglob("restart"))


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_ui_and_its_exit_code_comes_back(checkout: Checkout, number: signal.Signals) -> None:
    ui = "import signal, sys\nfor n in (2, 15): signal.signal(n, lambda n, f: sys.exit(40 + n))\n"
    checkout.install(f"exec '{sys.executable}' -c '{ui}print(\"ready\", flush=True)\nsignal.pause()'")
    command = [sys.executable, str(checkout.folder / "launch.py")]
    with subprocess.Popen(
        command, env=checkout.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(number)
        assert started.wait(timeout=30) == 40 + number


@posix
def test_a_failed_installation_says_why_and_the_next_start_goes_on_with_it(checkout: Checkout) -> None:
    no_network = "Retrying (Retry(total=4)) after connection broken by NewConnectionError"
    checkout.install(
        f"""echo "$@" >> "$PWD/calls"
        case "$*" in *pip*install*) [ -e "$PWD/online" ] || {{ echo "WARNING: {no_network}" >&2; exit 1; }} ;; esac""",
        without=("runtime",),
    )
    half = Path(checkout.home.folder) / "lib" / "python3.11" / "site-packages" / "half-1.0.dist-info"
    half.mkdir(parents=True)
    calls = checkout.folder / "calls"

    def started() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(checkout.folder / "webui-user.sh")], cwd=checkout.folder, env=checkout.env(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip

    failed = started()
    assert failed.returncode == 1
    assert "no network" in failed.stderr and "Traceback" not in failed.stderr
    assert "-m webui" not in calls.read_text()
    assert not half.exists()

    (checkout.folder / "online").touch()
    assert started().returncode == 0
    assert started().returncode == 0
    asked = [line for line in calls.read_text().splitlines() if "install" in line]
    assert len(asked) == 2 and all(line.endswith("runtime.txt") for line in asked)
    assert calls.read_text().count("-m webui") == 2


@posix
@pytest.mark.parametrize(
    ("number", "tell"), [(signal.SIGINT, "killpg"), (signal.SIGINT, "kill"), (signal.SIGTERM, "kill")]
)
def test_ctrl_c_while_packages_are_installed_is_one_sentence_and_the_next_start_goes_on(
    checkout: Checkout, number: signal.Signals, tell: str
) -> None:
    checkout.install(
        f"""cd "{checkout.folder}"
        case "$*" in *pip*install*) [ -e again ] || {{ touch again; exec sleep 100; }} ;; esac
        echo "$@" >> calls""",
        without=("runtime",),
    )
    with subprocess.Popen(
        [str(checkout.folder / "webui-user.sh")], env=checkout.env(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
    ) as stopped:  # fmt: skip
        until((checkout.folder / "again").exists, "pip at work")
        getattr(os, tell)(stopped.pid, number)  # Ctrl+C tells every process of the terminal
        _, said = stopped.communicate(timeout=30)  # until pip has ended, too
    assert stopped.returncode == 130
    assert said.strip() == "Stopped. The next start continues from here."
    assert "install" not in (checkout.folder / "calls").read_text()
    assert checkout.start().returncode == 0
    calls = (checkout.folder / "calls").read_text().splitlines()
    assert any("install" in line for line in calls) and calls[-1].endswith("-m webui")


@posix
def test_a_changed_lock_is_installed_at_the_next_start_and_skip_install_does_not(checkout: Checkout) -> None:
    checkout.install('echo "$@"')
    with (checkout.folder / "webui" / "lock" / "runtime.txt").open("a") as lock:
        lock.write("# newer\n")
    assert "pip install" not in checkout.start("--skip-install").stdout
    assert "pip install" in checkout.start("--exit").stdout
    assert "pip install" not in checkout.start().stdout


@posix
def test_a_taken_port_is_one_sentence_before_anything_starts(checkout: Checkout) -> None:
    checkout.install("echo started")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = checkout.start(f"--port={port}")
    assert done.returncode == 1
    assert done.stderr.split("\n")[1].startswith(f"Port {port} is already in use")
    assert "started" not in done.stdout
    assert checkout.start(f"--port={port}").returncode == 0


def test_a_disk_without_room_is_refused_before_the_download(tmp_path: Path) -> None:
    home = Environment(str(tmp_path / "not" / "there" / "yet"), "", own=True)
    launch.check_room(home, 0)
    with pytest.raises(Obstacle, match="needs about 1000000 GB"):
        launch.check_room(home, 10**6)


@posix
def test_a_folder_that_is_something_else_is_not_emptied(checkout: Checkout) -> None:
    precious = checkout.folder / "pictures" / "cat.png"
    precious.parent.mkdir()
    precious.touch()
    done = checkout.start(VENV_DIR="pictures", TORCH_COMMAND="pip install torch")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert precious.exists()


@posix
def test_a_missing_python_is_said_by_the_script_itself(checkout: Checkout) -> None:
    done = checkout.start(PYTHON="no-such-python")
    assert done.returncode == 1
    assert "3.11" in done.stderr and "no-such-python" in done.stderr


@posix
@pytest.mark.parametrize("python", ["/etc", "/etc/passwd", "false", "/nowhere/bin/python3"])
def test_what_is_no_python_is_said_in_one_sentence(checkout: Checkout, python: str) -> None:
    done = checkout.start(PYTHON=python)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "3.11" in done.stderr and python in done.stderr


@pytest.mark.parametrize("port", ["99999", "65536", "9" * 5000, "-1", "²", "", "port"])
def test_what_is_no_port_is_left_to_the_program_to_say(port: str) -> None:
    assert launch.port_asked_for(["--port", port]) is None
    assert launch.port_asked_for(["--port=65535"]) == 65535


@posix
def test_a_bug_in_the_environment_variables_is_no_traceback(checkout: Checkout) -> None:
    done = checkout.start(COMMANDLINE_ARGS="--theme 'dark")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@posix
def test_the_doctor_looks_at_everything_and_gives_a_next_step(checkout: Checkout) -> None:
    answer = {"version": "2.13.0+cpu", "device": "cpu", "name": "", "error": ""}
    checkout.install(f"echo '{json.dumps(answer)}'")
    done = checkout.start("doctor", PYTHONIOENCODING="ascii")
    subjects = [line[5:16].strip() for line in done.stdout.splitlines() if line[:4].strip()]
    expected = "Python, system, GPU, build, installed, network, torch, disk, data disk, RAM, models, outputs, config"
    assert {*expected.split(", "), "port"} <= set(subjects)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) <= 25


@posix
def test_the_doctor_fails_where_something_has_to_be_installed_and_no_index_answers(checkout: Checkout) -> None:
    torch = "echo '" + json.dumps({"version": "2.13.0+cpu", "device": "cpu", "name": "", "error": ""}) + "'"
    offline = f'case "$*" in *pip*index*) exit 1 ;; esac\n{torch}'
    checkout.install(offline)
    assert "warn network" in checkout.start("doctor").stdout
    with (checkout.folder / "webui" / "lock" / "runtime.txt").open("a") as lock:
        lock.write("# newer\n")
    done = checkout.start("doctor")
    assert done.returncode == 1
    assert "FAIL network" in done.stdout and "HTTPS_PROXY" in done.stdout


@posix
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--port abc", "'abc'"),
        pytest.param("--port 99999", "no port 99999", marks=pytest.mark.long),
        pytest.param("--data-dir", "--data-dir", marks=pytest.mark.long),
        ("--prot 7861", "Did you mean --port"),
        ("--theme dark", ""),
    ],
)
def test_the_doctor_fails_where_the_ui_would_refuse_its_flags(checkout: Checkout, line: str, said: str) -> None:
    torch = "echo '" + json.dumps({"version": "2.13.0+cpu", "device": "cpu", "name": "", "error": ""}) + "'"
    for part in (ROOT / "webui").iterdir():
        if not (checkout.folder / "webui" / part.name).exists():
            (checkout.folder / "webui" / part.name).symlink_to(part)
    checkout.install(f"""case "$*" in *"import torch"*) {torch} ;; *) exec '{sys.executable}' "$@" ;; esac""")
    done = checkout.start("doctor", COMMANDLINE_ARGS=line)
    assert ("FAIL flags" in done.stdout) == bool(said), done.stdout
    assert said in done.stdout
    assert done.returncode == bool(said)


@posix
def test_a_folder_that_cannot_be_written_to_is_told_with_a_way_out(checkout: Checkout) -> None:
    (checkout.folder / "file").touch()
    done = checkout.start("--exit", VENV_DIR=str(checkout.folder / "file" / "venv"))
    assert done.returncode == 1
    assert "cannot be written to" in done.stderr and "VENV_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@posix
def test_the_doctor_fails_where_torch_does_not_start(checkout: Checkout) -> None:
    checkout.install("exit 1")
    done = checkout.start("doctor")
    assert done.returncode == 1
    assert "FAIL torch" in done.stdout and "--reinstall" in done.stdout


@posix
def test_a_browser_that_does_not_start_is_passed_over(tmp_path: Path) -> None:
    for name, script in (("broken", "exit 1"), ("good", "echo Chromium 150")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    candidates = [str(tmp_path / name) for name in ("none", "broken", "good")]
    assert launch.working_browser(candidates) == candidates[-1]
    assert launch.working_browser([""]) == ""


@contextlib.contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
        server.shutdown()
        thread.join()


def test_a_wheel_index_is_used_only_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Index(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with served(Index) as index:
        assert launch.reachable(index)
        assert not launch.reachable(index + "/nothing")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not launch.reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/whl", seconds=0.2)
    assert not launch.reachable("not an address")


def test_the_windows_starter_is_short_and_in_its_line_endings() -> None:
    content = (ROOT / "webui-user.bat").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") <= 40
    assert b'"%~dp0launch.py" %*' in content
    text = content.decode("ascii")
    assert text.index("setlocal") < text.index("set COMMANDLINE_ARGS"), "what is set stays in this window's program"
    assert "*.bat text eol=crlf" in (ROOT / ".gitattributes").read_text().splitlines()


# --- Windows and macOS, as far as they can be told from here ---------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Computer("Darwin", "arm64", (), "13.6.1"), "needs macOS 14"),
        (Computer("Darwin", "arm64", (), "10.15"), "needs macOS 14"),
        (Computer("Darwin", "x86_64", (), "15.1", translated=True), "is for Intel Macs"),
        (Computer("Darwin", "x86_64", (), "15.1"), "no build"),
    ],
)
def test_a_mac_that_cannot_run_torch_is_told_before_anything_is_downloaded(machine: Computer, said: str) -> None:
    with pytest.raises(Obstacle, match=said):
        launch.choose_torch(machine)


@pytest.mark.parametrize("release", ["14.0", "14.6.1", "26.0", ""])
def test_a_mac_of_today_gets_its_torch(release: str) -> None:
    assert launch.choose_torch(Computer("Darwin", "arm64", (), release)).backend == "mps"


def test_a_folder_too_deep_for_windows_is_told_how_much() -> None:
    launch.check_path("C:\\Gesso\\.venv", long_paths=False)
    deep = "C:\\Users\\Somebody\\" + "x" * 70
    launch.check_path(deep, long_paths=True)
    with pytest.raises(Obstacle, match="259 characters") as caught:
        launch.check_path(deep, long_paths=False)
    shorter = int(re.findall(r"at least (\d+) characters", caught.value.todo)[0])
    launch.check_path(deep[:-shorter], long_paths=False)


def test_the_longest_path_of_an_environment_is_no_longer_than_assumed() -> None:
    packages = Path(pytest.__file__).parents[1]
    longest = max(len(str(path.relative_to(packages))) for path in packages.glob("torch*/**/*"))
    assert longest + len("\\Lib\\site-packages\\") <= launch.LONGEST_INSIDE


def test_a_missing_visual_cpp_runtime_is_named_with_its_address() -> None:
    launch.check_runtime([])
    with pytest.raises(Obstacle, match=r"msvcp140\.dll") as caught:
        launch.check_runtime(["msvcp140.dll"])
    assert "vc_redist.x64.exe" in caught.value.todo
    found = launch.judge_torch({"broken": "OSError: [WinError 126] c10.dll"}, Computer("Windows", "AMD64"))
    assert found.level == "FAIL" and "WinError 126" in found.text and "vc_redist" in found.todo


def test_the_ports_that_others_have_are_told_apart_from_an_address_that_is_not_ours() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert launch.port_trouble("127.0.0.1", taken.getsockname()[1]) == "taken"
    assert launch.port_trouble("127.0.0.1", 0) == ""
    assert launch.port_trouble("192.0.2.7", 0) not in ("", "taken")
    assert launch.port_trouble("no such name.invalid", 0) not in ("", "taken")
    assert "65535" in launch.port_trouble("127.0.0.1", 99999)
    assert launch.judge_port("192.0.2.7", 7860).level == "FAIL"


# --- An environment whose Python changes -----------------------------------------------------------------------------


def test_a_newer_patch_release_of_python_keeps_the_packages(checkout: Checkout) -> None:
    config = Path(checkout.home.folder) / "pyvenv.cfg"
    config.parent.mkdir()
    config.write_text("home = /old/python@3.12/3.12.4/bin\nversion = 3.12.4\n")
    assert launch.abi_of(checkout.home) == "3.12"
    config.write_text("home = /new/python@3.12/3.12.7/bin\nversion = 3.12.7\n")
    assert launch.abi_of(checkout.home) == "3.12"


NO_PACKAGES = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
"""Nothing can be installed, wherever the tests run."""


@posix
def test_a_moved_python_takes_the_environment_over_without_the_network(checkout: Checkout) -> None:
    """As an update of Homebrew or of a distribution leaves it: the old Python's folder is gone."""
    venv = Path(checkout.home.folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    kept = next(venv.glob("lib/python*/site-packages")) / "kept.py"
    kept.write_text("")
    parts = launch.wanted_parts(Invocation(), {}, checkout.home, {})
    launch.write_stamp(checkout.home, {"backend": "cpu", **parts})
    config = (venv / "pyvenv.cfg").read_text()
    (venv / "pyvenv.cfg").write_text(re.sub(r"home = .*", "home = /gone/3.11.0/bin", config))
    for name in venv.glob("bin/python*"):
        name.unlink()
    (venv / "bin" / "python").symlink_to("/gone/3.11.0/bin/python3")
    assert launch.lost_python(checkout.home)
    done = checkout.start("--exit", **NO_PACKAGES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has moved" in done.stdout and kept.exists()
    assert not launch.lost_python(checkout.home)
    assert "has moved" not in checkout.start("--exit").stdout


@posix
def test_an_environment_comes_back_when_the_new_one_cannot_be_installed(checkout: Checkout) -> None:
    checkout.install("echo the old one")
    done = checkout.start("--reinstall", **NO_PACKAGES)
    assert done.returncode == 1 and "There is no package" in done.stderr, done.stdout + done.stderr
    assert not Path(checkout.home.aside).exists()
    assert "the old one" in checkout.start().stdout


@posix
def test_two_first_starts_at_once_install_once(checkout: Checkout) -> None:
    checkout.install(
        """echo "$@" >> "$PYTHONPATH/calls"; case "$*" in *install*) sleep 1.5 ;; esac""", without=("runtime",)
    )
    command = [str(checkout.folder / "webui-user.sh"), "--exit"]
    starts = [
        subprocess.Popen(command, env=checkout.env(PYTHONPATH=str(checkout.folder)), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [start.communicate(timeout=60)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    calls = (checkout.folder / "calls").read_text().splitlines()
    assert len([call for call in calls if "pip install" in call]) == 1
    assert sum("Another start is already setting Gesso up" in text for text in said) <= 1


# --- A set-up that was cut off ---------------------------------------------------------------------------------------


def _skeleton(venv: Path) -> None:
    for name in ("bin", "include", "lib/python3/site-packages"):
        (venv / name).mkdir(parents=True)


def _without_pip(venv: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)


def _with_half_a_pip(venv: Path) -> None:
    _without_pip(venv)
    half = next(venv.glob("lib/python*/site-packages")) / "pip"
    half.mkdir()
    (half / "__init__.py").touch()
    (half / "__main__.py").write_text("import pip._internal\n")


@posix
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(_skeleton, marks=pytest.mark.long),
        pytest.param(_without_pip, marks=pytest.mark.long),
        _with_half_a_pip,
    ],
)
def test_an_environment_whose_making_was_cut_off_is_made_to_its_end(
    checkout: Checkout, moment: Callable[[Path], None]
) -> None:
    """As a power cut, a closed terminal or Ctrl+C leaves it at each moment: the next start comes as far as pip."""
    moment(Path(checkout.home.folder))
    done = checkout.start("--exit", TORCH_COMMAND="pip install torch", **NO_PACKAGES)
    assert done.returncode == 1 and "There is no package" in done.stderr, done.stdout + done.stderr


@pytest.mark.long
@posix
def test_the_former_environment_outlives_two_reinstallations_that_were_cut_off(checkout: Checkout) -> None:
    checkout.install("echo the old one")
    for _ in range(2):
        # SIGKILL leaves nobody to put it back: it stands aside, and half of the new one in its place
        if not Path(checkout.home.aside).exists():
            Path(checkout.home.folder).rename(checkout.home.aside)
            _without_pip(Path(checkout.home.folder))
        done = checkout.start("--reinstall", **NO_PACKAGES)
        assert done.returncode == 1, done.stdout + done.stderr
    assert "the old one" in checkout.start().stdout


@posix
def test_what_waited_aside_goes_when_the_new_environment_is_whole(checkout: Checkout) -> None:
    """The start that made it was killed just before it could tidy up: gigabytes."""
    checkout.install("echo the new one")
    shutil.copytree(checkout.home.folder, checkout.home.aside)
    assert "the new one" in checkout.start().stdout
    assert not Path(checkout.home.aside).exists()


@posix
def test_a_start_waits_for_the_pip_of_one_that_was_killed(checkout: Checkout) -> None:
    checkout.install(
        """case "$*" in *install*) touch "$PYTHONPATH/begun"; sleep 3; touch "$PYTHONPATH/ended" ;; esac""",
        without=("runtime",),
    )
    first = subprocess.Popen(
        [str(checkout.folder / "webui-user.sh"), "--exit"],
        env=checkout.env(PYTHONPATH=str(checkout.folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (checkout.folder / "begun").exists():
        time.sleep(0.02)
    first.kill()
    first.wait()
    with launch.alone(checkout.home):
        assert (checkout.folder / "ended").exists()
