"""Which texts the demo checkpoint learns from, and which are held out."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("importable_checkout")


def committed_list(root: Path) -> list[str]:
    lines = (root / "demo" / "held_out.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if not line.startswith("#")]


def test_the_committed_list_of_held_out_modules_follows_the_rule(root: Path) -> None:
    from demo.corpus import split_of

    names = committed_list(root)
    assert len(names) == 30
    assert {split_of(name, "library") for name in names} == {"held-out"}
    assert split_of("std/os.py", "library") == "training"
    assert split_of(names[0], "packages") == "training"


def test_the_library_at_hand_holds_out_the_same_modules(root: Path) -> None:
    from demo.corpus import read_library

    if sys.version_info[:2] != (3, 11):
        pytest.skip("the list is of CPython 3.11")
    sources = read_library(Path(sysconfig.get_path("stdlib")))
    held_out = {source.name for source in sources if source.split == "held-out"}
    assert held_out == set(committed_list(root))


def test_copies_of_held_out_and_of_earlier_files_are_dropped() -> None:
    from demo.corpus import Source, without_copies

    def lines(word: str, count: int) -> str:
        return "".join(
            f"{word}_{i} = function_{word}(argument_{i}, 'value')\n" for i in range(count)
        )

    def training(name: str, text: str) -> Source:
        return Source(name, text, "packages", "training")

    originals = [
        Source("std/held.py", lines("held", 10), "library", "held-out"),
        training("own.py", lines("own", 10)),
        training("little.py", lines("held", 2) + lines("little", 8)),
        training("half.py", lines("own", 5) + lines("half", 5)),
    ]
    copies = [
        training("leak.py", lines("held", 3) + lines("leak", 7)),
        training("same.py", lines("own", 10)),
        training("most.py", lines("own", 7) + lines("most", 3)),
    ]
    corpus = without_copies([*originals, *copies])
    assert [source.name for source in corpus.sources] == [source.name for source in originals]
    assert corpus.dropped == 3


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT\nLicense: other\n", "MIT"),
        ("License: BSD-3-Clause\n", "BSD-3-Clause"),
        ("License: " + "text " * 40 + "\nClassifier: License :: OSI Approved :: ISC\n", "ISC"),
        ("Name: nothing\n", "see its files"),
    ],
)
def test_a_packages_licence_is_read_from_its_metadata(metadata: str, licence: str) -> None:
    from demo.data import licence_of

    assert licence_of(metadata) == licence


@pytest.mark.parametrize("command", ["train", "report"])
def test_without_the_texts_it_says_how_to_gather_them(
    command: str, root: Path, tmp_path: Path, demo_bundle: Path
) -> None:
    options = ["--out", tmp_path / "run"] if command == "train" else [demo_bundle]
    done = subprocess.run(
        [sys.executable, "-m", f"demo.{command}", *options, "--data", tmp_path],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "make train-data" in done.stderr
    assert "Traceback" not in done.stderr
