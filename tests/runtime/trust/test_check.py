"""Bundles that are signed, and those that are not what was signed."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="the extra trust is not installed")

from cryptography.hazmat.primitives.asymmetric import ec
from keys_made import Authority, Pair, pair
from tampering import tampered

from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.bundle.verified import verify_files
from refact_edge.runtime.errors import BundleError, OptionError
from refact_edge.runtime.opening.load import load
from refact_edge.runtime.trust.check import Trusted, digest_of, open_bundle, signed_statement
from refact_edge.runtime.trust.keys import Signer
from refact_edge.runtime.trust.sign import sign_bundle

DATA = Path(__file__).parent / "data"
TAMPERED = int(os.environ.get("TAMPERED", "150"))  # of `make test-signing`, ten thousand


@pytest.fixture
def keys(tmp_path: Path) -> Pair:
    return pair(tmp_path, "ours")


@pytest.fixture
def signed(bundle_copy: Path, keys: Pair) -> Path:
    sign_bundle(read_bundle(bundle_copy), Signer(keys.private))
    return bundle_copy


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8", newline="\n")


def test_a_signature_of_model_signing_is_read() -> None:
    public = DATA / "model-signing-1.1.1.pub"
    statement = signed_statement(DATA, public, DATA / "model-signing-1.1.1.sig")
    expected = {"a.txt": b"hi", "a/b": b"yo"}
    assert statement.files == {k: hashlib.sha256(v).hexdigest() for k, v in expected.items()}
    assert statement.name == "tiny"


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_signed_bundle_opens_with_its_key(
    curve: ec.EllipticCurve, bundle_copy: Path, tmp_path: Path
) -> None:
    own = pair(tmp_path, "own", curve)
    sign_bundle(read_bundle(bundle_copy), Signer(own.private))
    assert load(bundle_copy, trust=own.public, variant="int4").variant == "int4"


def test_a_signed_bundle_opens_by_a_certificate_whose_chain_leads_to_a_root(
    bundle_copy: Path, keys: Pair, tmp_path: Path
) -> None:
    root = Authority(tmp_path, "root")
    middle = Authority(tmp_path, "middle", root)
    chain = [middle.certificate(keys, "leaf"), middle.file]
    sign_bundle(read_bundle(bundle_copy), Signer(keys.private, chain))
    assert open_bundle(bundle_copy, Trusted(root.file)).path == bundle_copy
    other = Authority(tmp_path, "other")
    with pytest.raises(BundleError, match=r"does not lead to one in .*other.pem"):
        open_bundle(bundle_copy, Trusted(other.file))


def test_a_certificate_must_be_one_for_signatures(
    bundle_copy: Path, keys: Pair, tmp_path: Path
) -> None:
    root = Authority(tmp_path, "root")
    chain = [root.certificate(keys, "leaf", signs=False)]
    sign_bundle(read_bundle(bundle_copy), Signer(keys.private, chain))
    with pytest.raises(BundleError, match="not one for signatures"):
        open_bundle(bundle_copy, Trusted(root.file))


def test_whoever_is_no_authority_vouches_for_nobody(
    bundle_copy: Path, keys: Pair, tmp_path: Path
) -> None:
    root = Authority(tmp_path, "root")
    forger = Authority(tmp_path, "middle")  # its key, with a certificate that is no authority's
    public = tmp_path / "middle.pub"
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    own = x509.load_pem_x509_certificate(forger.file.read_bytes()).public_key()
    public.write_bytes(
        own.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    weak = root.certificate(Pair(public, public), "middle", ca=False)
    chain = [forger.certificate(keys, "leaf"), weak]
    sign_bundle(read_bundle(bundle_copy), Signer(keys.private, chain))
    with pytest.raises(BundleError, match="does not lead to one"):
        open_bundle(bundle_copy, Trusted(root.file))


def test_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"another key than that of .*other.pub"):
        open_bundle(signed, Trusted(pair(tmp_path, "other").public))


def test_a_bundle_without_a_signature_is_refused(bundle_copy: Path, keys: Pair) -> None:
    with pytest.raises(BundleError, match=r"has no model.sig, so nobody signed it"):
        load(bundle_copy, trust=keys.public)


def test_the_signature_of_another_bundle_is_refused(
    signed: Path, keys: Pair, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(signed, tmp_path / "other"))
    (other / "model.sig").unlink()
    _replace(other / "refact_edge.json", '"architecture"', ' "architecture"')
    sign_bundle(read_bundle(other), Signer(keys.private))
    shutil.copy(other / "model.sig", signed / "model.sig")
    with pytest.raises(BundleError, match=r"is not as it was signed: refact_edge.json"):
        open_bundle(signed, Trusted(keys.public))


def test_a_file_that_was_not_signed_is_refused_and_a_mirrors_are_not(
    signed: Path, keys: Pair
) -> None:
    (signed / ".gitattributes").write_text("*.onnx_data filter=lfs\n")
    (signed / ".git").mkdir()
    (signed / ".git" / "config").touch()
    open_bundle(signed, Trusted(keys.public))
    (signed / "onnx" / "more.onnx").touch()
    with pytest.raises(BundleError, match=r"holds what was not signed: onnx/more.onnx; remove"):
        open_bundle(signed, Trusted(keys.public))


def test_a_bundle_is_the_one_of_a_digest(bundle_copy: Path) -> None:
    digest = digest_of(read_bundle(bundle_copy))
    assert load(bundle_copy, digest=digest, variant="int4").variant == "int4"
    with pytest.raises(BundleError, match=f"has the digest {digest}, expected sha256:0000"):
        load(bundle_copy, digest="sha256:" + "0" * 64)
    with pytest.raises(OptionError, match="digest 'md5:1'; expected sha256: and 64 digits"):
        load(bundle_copy, digest="md5:1")


def test_trust_is_not_to_be_had_without_hashes(signed: Path, keys: Pair) -> None:
    with pytest.raises(OptionError, match="hashes is False"):
        load(signed, trust=keys.public, hashes=False)


def test_the_environment_asks_for_trust_everywhere(
    signed: Path, keys: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFACT_EDGE_TRUST", str(keys.public))
    load(signed, variant="int4")
    (signed / "model.sig").unlink()
    with pytest.raises(BundleError, match="nobody signed it"):
        load(signed)


def test_a_damaged_bundle_is_not_signed(bundle_copy: Path, keys: Pair) -> None:
    (bundle_copy / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"config.json"):
        sign_bundle(read_bundle(bundle_copy), Signer(keys.private))
    assert not (bundle_copy / "model.sig").exists()


def test_a_signature_is_replaced_by_force_alone(signed: Path, keys: Pair) -> None:
    with pytest.raises(BundleError, match="is there already; --force replaces it"):
        sign_bundle(read_bundle(signed), Signer(keys.private))
    sign_bundle(read_bundle(signed), Signer(keys.private), force=True)


KEYS = [
    (lambda file: file.write_text("no key"), "holds neither a public key nor certificates"),
    (lambda file: file.unlink(), r"^\S+ours\.pub cannot be read: "),
    (lambda file: file.write_text("-----BEGIN CERTIFICATE-----\n"), "holds no certificates"),
]


@pytest.mark.parametrize(("spoil", "complaint"), KEYS)
def test_a_key_that_is_none_is_told(
    spoil: Callable[[Path], object], complaint: str, signed: Path, keys: Pair
) -> None:
    spoil(keys.public)
    with pytest.raises(OptionError, match=complaint):
        open_bundle(signed, Trusted(keys.public))


def test_tampered_bundles_are_refused(signed: Path, keys: Pair) -> None:
    generator = random.Random(0)
    trusted = Trusted(keys.public)
    for number in range(TAMPERED):
        with tampered(signed, generator) as what:
            try:
                bundle = open_bundle(signed, trusted)
                verify_files(bundle, bundle.files)
            except BundleError:
                continue
            pytest.fail(f"{number}: accepted with {what}")
    bundle = open_bundle(signed, trusted)  # all is as it was
    verify_files(bundle, bundle.files)
