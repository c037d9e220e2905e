"""Gathers the text that the demo checkpoint learns from: `python -m demo.data`.

The only step of the demo that uses the network. Installs the packages of packages.txt into a
folder of their own, without their dependencies, and lists what was taken; nothing of them is run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from dataclasses import asdict, dataclass
from email.parser import HeaderParser
from importlib.metadata import distributions
from pathlib import Path

import click

from .chat import functions, save_functions
from .corpus import Corpus, read_library, read_packages, save_corpus, without_copies

PINS = Path(__file__).with_name("packages.txt")
DATA = Path("build/demo-data")
FIRST_WORDS = {"Permission is hereby granted, free of charge": "MIT"}
# Longer ones are the licence itself.
LONGEST_NAME = 80
CORPUS, FUNCTIONS, PACKAGES = "corpus.jsonl", "functions.jsonl", "packages.json"


@dataclass(frozen=True)
class Package:
    """One installed package and the licence that its metadata names."""

    name: str
    version: str
    licence: str


def licence_of(metadata: str, licence_text: str = "") -> str:
    """Return the licence that a METADATA file names: the expression, the field or a classifier.

    Where it names none, what the first words of the licence's own text say.
    """
    fields = HeaderParser().parsestr(metadata)
    for key in ("License-Expression", "License"):
        value = str(fields.get(key) or "").strip().split("\n")[0]
        if value and len(value) <= LONGEST_NAME:
            return value
    classifiers = [str(value) for value in fields.get_all("Classifier") or ()]
    named = [value.split(" :: ")[-1] for value in classifiers if value.startswith("License :: ")]
    licences = [name for words, name in FIRST_WORDS.items() if words in licence_text]
    return ", ".join(named or licences) or "see its files"


def install(pins: Path, target: Path) -> None:
    """Install the pinned wheels into `target`, unless they are there."""
    mark = target / "packages.txt"
    if mark.exists() and mark.read_text() == pins.read_text():
        return
    click.echo(f"installing the packages of {pins.name} into {target} (some minutes) ...")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--no-compile", "--upgrade"]
    subprocess.run([*command, "--target", str(target), "-r", str(pins)], check=True)
    mark.write_text(pins.read_text())


def installed(target: Path) -> list[Package]:
    """Return the packages in `target`, by name."""
    packages = []
    for distribution in distributions(path=[str(target)]):
        text = distribution.read_text("METADATA") or ""
        own = distribution.read_text("licenses/LICENSE") or ""
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        packages.append(Package(name, distribution.version, licence_of(text, own)))
    return sorted(packages, key=lambda package: package.name)


def load_packages(file: Path) -> list[Package]:
    """Return the packages that were listed in `file`."""
    return [Package(**entry) for entry in json.loads(file.read_text())]


def gather(packages: Path) -> Corpus:
    """Read the library and the packages, and drop the copies."""
    sources = read_library(Path(sysconfig.get_path("stdlib")))
    return without_copies([*sources, *read_packages(packages)])


def summary(corpus: Corpus) -> list[str]:
    """Return what training reads, one line for each group and split."""
    files: Counter[tuple[str, str]] = Counter()
    size: Counter[tuple[str, str]] = Counter()
    for source in corpus.sources:
        files[source.group, source.split] += 1
        size[source.group, source.split] += len(source.text.encode())
    lines = [
        f"{group:9} {split:10} {files[group, split]:6} files {size[group, split] / 1e6:7.2f} MB"
        for group, split in sorted(files)
    ]
    return [*lines, f"{corpus.dropped} files dropped as copies of others"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=DATA, show_default=True)
@click.option("--list", "listed", is_flag=True, help="Print the packages as a table for the card.")
def main(out: Path, listed: bool) -> None:
    """Install the pinned packages, read them and the standard library, and list them."""
    target = out / "packages"
    target.mkdir(parents=True, exist_ok=True)
    try:
        install(PINS, target)
    except subprocess.CalledProcessError:
        raise click.ClickException("pip could not install them; see its message above") from None
    packages = installed(target)
    for package in packages:
        separator = " | " if listed else "  "
        click.echo(separator.join((package.name, package.version, package.licence)))
    (out / PACKAGES).write_text(json.dumps([asdict(package) for package in packages], indent=1))
    corpus = gather(target)
    save_corpus(corpus, out / CORPUS)
    answers = [
        (source.split, function) for source in corpus.sources for function in functions(source.text)
    ]
    save_functions(answers, out / FUNCTIONS)
    for line in summary(corpus):
        click.echo(line)
    click.echo(f"{len(answers)} functions with a docstring; all in {out}")


if __name__ == "__main__":
    main()
