"""The peers' environment: llama.cpp with a library for each kind of CPU, and its Python package.

Usage: python -m bench.peers.build PEERS

llama.cpp is compiled once, from the source that llama-cpp-python carries, so that any kind can be
forced when it is measured. The folder PEERS becomes a virtual environment and keeps the build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
TOOLS = ("cmake", "ninja", "gguf")
PARTS = ("COMMON", "TESTS", "TOOLS", "EXAMPLES", "SERVER", "APP")  # of no use here
# All of its variants, whatever this machine can run.
FLAGS = {
    "CMAKE_BUILD_TYPE": "Release", "BUILD_SHARED_LIBS": "ON", "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON", "GGML_CPU_ALL_VARIANTS": "ON",
    **dict.fromkeys((f"LLAMA_BUILD_{part}" for part in PARTS), "OFF"),
}  # fmt: skip


def main(peers: Path) -> None:
    """Make the environment, compile, and put the libraries where the package looks for them."""
    run(sys.executable, "-m", "venv", peers)
    pip = (peers / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", *TOOLS)
    source = peers / "source"
    run(
        *pip, "download", "--no-deps", "--no-binary", PACKAGE, "-d", source, f"{PACKAGE}=={VERSION}"
    )
    (archive,) = source.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(source, filter="data")
    unpacked = archive.with_name(archive.name.removesuffix(".tar.gz"))
    built = peers / "llama"
    compile_with(peers, unpacked / "vendor" / "llama.cpp", built, FLAGS)
    run(*pip, "install", archive, CMAKE_ARGS="-DLLAMA_BUILD=OFF")
    place_libraries(peers, built / "bin")


def compile_with(
    peers: Path, source: Path, folder: Path, flags: dict[str, str], target: str = "all"
) -> None:
    """Configure and compile with the environment's own CMake and Ninja.

    Raises:
        CalledProcessError: when either fails.

    """
    tools = f"{(peers / 'bin').absolute()}{os.pathsep}{os.environ['PATH']}"
    settings = [f"-D{name}={value}" for name, value in flags.items()]
    run(
        "cmake",
        "--log-level=WARNING",
        "-G",
        "Ninja",
        "-S",
        source,
        "-B",
        folder,
        *settings,
        PATH=tools,
    )
    run("cmake", "--build", folder, "--target", target, PATH=tools)


def place_libraries(peers: Path, built: Path) -> None:
    """Link what was compiled to where llama-cpp-python looks for it.

    A copy would be a second library beside the one that the others name, with no kernels in it.
    """
    (package,) = peers.glob("lib/python*/site-packages/llama_cpp")
    link = package / "lib"
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    link.symlink_to(built.absolute())


def run(*command: object, **variables: str) -> None:
    """Run a command, whose output goes where errors go.

    Raises:
        CalledProcessError: when it fails.

    """
    environment = os.environ | variables
    program = shutil.which(str(command[0]), path=environment["PATH"]) or str(command[0])
    arguments = [program, *map(str, command[1:])]
    subprocess.run(arguments, check=True, stdout=sys.stderr, env=environment)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
