"""The command `kit`."""

from __future__ import annotations

from pathlib import Path

import click

from ...runtime.console.cli import progress_bar
from ...runtime.console.params import PATH, trust_option
from ...runtime.console.terminal import echo
from ...runtime.trust.check import open_bundle
from ...runtime.trust.keys import Signer
from .kit import Contents, write_archive, write_kit
from .targets import TARGETS, check_python, target_of
from .wheels import EXTRAS, Sources


@click.command()
@click.argument("out", type=PATH)
@click.option(
    "--bundle", "bundles", type=PATH, multiple=True, required=True, help="May be repeated."
)
@trust_option
@click.option(
    "--target", "targets", multiple=True, required=True,
    help=f"Repeatable: {', '.join(TARGETS)}.",
)  # fmt: skip
@click.option("--python", default="3.12", show_default=True, help="Python of the targets.")
@click.option(
    "--extras", default="",
    help=f"Comma-separated: {', '.join(EXTRAS)}. int4 on a CPU needs none.",
)  # fmt: skip
@click.option(
    "--wheels", type=PATH, default=Path("dist/all"), show_default=True,
    help="Folder with this package's wheels, of make wheels.",
)  # fmt: skip
@click.option("--wheelhouse", type=PATH, help="Folder with all others; no network is used then.")
@click.option("--key", type=PATH, help="Sign the kit with this private key (PEM).")
@click.option("--archive", is_flag=True, help="Write OUT.tar, too.")
def kit(
    out: Path,
    bundles: tuple[Path, ...],
    targets: tuple[str, ...],
    python: str,
    extras: str,
    wheels: Path,
    wheelhouse: Path | None,
    key: Path | None,
    archive: bool,
) -> None:
    """Write OUT: all that machines without a network need to run a bundle.

    Wheels of the systems that are named, bundles, checksums, licences, bills of materials, and
    scripts that install it. uv (pip install uv) finds what each system needs.

    \b
    Examples:
      refact-edge kit kit --bundle bundle --target linux-x86_64
      refact-edge kit kit --bundle bundle --target windows-amd64 --extras serve,lsp --archive
    """
    contents = Contents(
        [open_bundle(path) for path in bundles],
        [target_of(name) for name in dict.fromkeys(targets)],
        check_python(python),
        [extra for extra in extras.split(",") if extra],
        Sources(wheels, wheelhouse),
        Signer(key) if key is not None else None,
    )
    with progress_bar("bringing wheels", len(contents.targets)) as advance:
        sums = write_kit(contents, out, advance)
    if archive:
        write_archive(out, out.with_name(f"{out.name}.tar"))
    files = [file for file in out.rglob("*") if file.is_file()]
    echo(f"{out}: {len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB")
    echo("the sums of its scripts, to publish elsewhere:")
    for name, sha256 in sums.items():
        echo(f"  {sha256}  {name}")
