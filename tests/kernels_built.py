"""The kernels compiled for tests: each file once for a choice of flags, on all cores."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent.parent / "runtime" / "backends" / "native"
FLAGS = ["-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]


class KernelsBuilt:
    """Programs of the kernels and one file more, kept in a folder."""

    def __init__(self, compiler: str, folder: Path) -> None:
        """Compile nothing yet."""
        self._compiler, self._folder = compiler, folder
        self._objects: dict[tuple[str, ...], list[Path]] = {}
        self._programs: dict[tuple[Path, tuple[str, ...]], Path] = {}

    def program(self, source: Path, *flags: str) -> Path:
        """Return the program whose `main` is in `source`, compiled with `flags` besides FLAGS."""
        if (source, flags) not in self._programs:
            self._programs[source, flags] = self._linked(source, flags)
        return self._programs[source, flags]

    def _linked(self, source: Path, flags: tuple[str, ...]) -> Path:
        if flags not in self._objects:
            folder = self._folder / str(len(self._objects))
            folder.mkdir()
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                compiled = threads.map(
                    lambda file: self._compiled(file, folder, flags), sorted(SOURCES.rglob("*.c"))
                )
                self._objects[flags] = list(compiled)
        objects_of_all = self._objects[flags]
        program = objects_of_all[0].with_name(source.stem)
        self._run(
            *flags, f"-I{SOURCES}", "-o", program, source, *objects_of_all, "-lm", "-lpthread"
        )
        return program

    def _compiled(self, file: Path, folder: Path, flags: tuple[str, ...]) -> Path:
        compiled = folder / f"{file.stem}.o"
        self._run(*flags, "-c", "-o", compiled, file)
        return compiled

    def _run(self, *arguments: object) -> None:
        command = [self._compiler, *FLAGS, *map(str, arguments)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
