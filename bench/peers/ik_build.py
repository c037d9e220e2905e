"""ik_llama.cpp compiled for one kind of CPU, where its source can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .build import compile_with, run
from .kinds import KINDS

SOURCE = "IK_LLAMA_SOURCE"  # names a checkout
REPOSITORY = "https://github.com/ikawrakow/ik_llama.cpp"
SHIM = Path(__file__).with_name("ik.c")


@dataclass(frozen=True)
class Build:
    """The library that `ik.py` loads; or why there is none."""

    library: Path | None
    absent: str = ""
    version: str = ""


def build_for(kind: str, peers: Path, named: str | None = None) -> Build:
    """Compile it, unless that was done; `named` is a checkout, else the environment's."""
    try:
        source = _source(peers, named or os.environ.get(SOURCE))
        folder = peers / f"ik-{kind}"
        library = folder / "libik.so"
        if not library.exists():
            _compile(kind, peers, source, folder, library)
    except (OSError, subprocess.CalledProcessError) as error:
        return Build(None, f"its source cannot be had or compiled ({_last_line(error)}); {SOURCE}="
                     "DIR names a checkout")  # fmt: skip
    return Build(library, version=_version(source))


def _source(peers: Path, named: str | None) -> Path:
    if named:
        source = Path(named).absolute()
        if not (source / "CMakeLists.txt").is_file():
            raise FileNotFoundError(f"{source} holds no CMakeLists.txt")
        return source
    source = peers / "ik_llama.cpp"
    if not source.exists():
        run("git", "clone", "--quiet", "--depth", 1, REPOSITORY, source, GIT_TERMINAL_PROMPT="0")
    return source


def _compile(kind: str, peers: Path, source: Path, folder: Path, library: Path) -> None:
    parts = ("TESTS", "EXAMPLES", "SERVER")
    flags = {
        "CMAKE_BUILD_TYPE": "Release", "BUILD_SHARED_LIBS": "ON", "GGML_NATIVE": "OFF",
        "GGML_ARCH_FLAGS": f"-march={KINDS[kind].march}",
        **dict.fromkeys((f"LLAMA_BUILD_{part}" for part in parts), "OFF"),
    }  # fmt: skip
    compile_with(peers, source, folder, flags, "llama")
    llama, ggml = folder / "src", folder / "ggml" / "src"
    includes = [f"-I{source / part}" for part in ("include", "ggml/include")]
    links = [f"-L{llama}", f"-L{ggml}", f"-Wl,-rpath,{llama}:{ggml}", "-lllama", "-lggml"]
    compiler = shutil.which("cc") or "cc"
    run(compiler, "-O2", "-shared", "-fPIC", "-o", library, SHIM, *includes, *links)


def _version(source: Path) -> str:
    """Return the commit, where the source is a checkout of git's."""
    command = ["git", "-C", str(source), "log", "-1", "--format=%h of %cs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of an unknown commit"


def _last_line(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return str(error)
    return f"{' '.join(map(str, error.cmd[:3]))} ended with {error.returncode}"
