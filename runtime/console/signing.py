"""The commands `sign` and `verify-signature`."""

from __future__ import annotations

from pathlib import Path

import click

from ..bundle.contract import Bundle, read_bundle
from ..bundle.verified import verify_files
from ..errors import OptionError
from ..trust.check import Trusted, check_folder, digest_of, open_bundle
from ..trust.keys import Signer
from ..trust.sign import sign_bundle
from .params import PATH, trust_options
from .terminal import echo

KIT_SUMS = "SHA256SUMS"  # in a kit, which has no manifest


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--key", type=PATH, required=True, help="Private key in PEM, of an elliptic curve.")
@click.option(
    "--certificates",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="The key's certificate, and those up to its root, in PEM; may be repeated.",
)
@click.option("--password-file", type=PATH, metavar="FILE", help="Its first line opens the key.")
@click.option("--force", is_flag=True, help="Replace a signature.")
def sign(
    bundle: Path,
    key: Path,
    certificates: tuple[Path, ...],
    password_file: Path | None,
    force: bool,
) -> None:
    """Sign BUNDLE, so that others can tell that it is yours: model.sig.

    The form is that of OpenSSF Model Signing; nothing is sent anywhere. All files are compared with
    the manifest first. The extra trust brings what signs.

    \b
    Examples:
      openssl ecparam -name prime256v1 -genkey -noout -out key.pem
      openssl ec -in key.pem -pubout -out public.pem
      refact-edge sign bundle --key key.pem
      refact-edge sign bundle --key key.pem --certificates chain.pem
    """
    opened = read_bundle(bundle)
    signer = Signer(key, certificates, _password(password_file))
    file = sign_bundle(opened, signer, force=force)
    echo(f"{file}: {_in_words(opened)}")


@click.command("verify-signature")
@click.argument("bundle", type=PATH)
@trust_options
def verify_signature(bundle: Path) -> None:
    """Check who signed BUNDLE, which may be a kit, and every file of it.

    Commands that open a bundle take --trust and --digest, too, and check what they open.

    \b
    Examples:
      refact-edge verify-signature bundle --trust public.pem
      refact-edge verify-signature bundle --digest sha256:...
    """
    trusted = Trusted.of_environment()
    if not trusted:
        raise OptionError("nothing to check it by: expected --trust KEY or --digest sha256:...")
    if trusted.key and (bundle / KIT_SUMS).exists():
        kit = check_folder(bundle, trusted.key)
        echo(f"{bundle}: a kit signed by {trusted.key}, {len(kit.files)} files")
        return
    opened = open_bundle(bundle, trusted)
    verify_files(opened, opened.files)
    by = f"signed by {trusted.key}" if trusted.key else "as expected"
    echo(f"{bundle}: {by}, {_in_words(opened)}")


def _in_words(bundle: Bundle) -> str:
    return f"{len(bundle.files) + 1} files, {digest_of(bundle)}"


def _password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0]
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror}") from error
