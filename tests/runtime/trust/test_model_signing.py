"""The package model-signing and we read each other's signatures."""

import os
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="the extra trust is not installed")

from keys_made import Authority, Pair, pair

from refact_edge.runtime.bundle.contract import read_bundle
from refact_edge.runtime.errors import BundleError
from refact_edge.runtime.trust.check import Trusted, open_bundle
from refact_edge.runtime.trust.keys import Signer
from refact_edge.runtime.trust.sign import sign_bundle

PEER = os.environ.get("REFACT_EDGE_MODEL_SIGNING", "")
pytestmark = pytest.mark.skipif(
    not PEER, reason="model-signing is not named; make test-signing installs it"
)


@pytest.fixture
def keys(tmp_path: Path) -> Pair:
    return pair(tmp_path, "ours")


@pytest.fixture
def middle(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "middle", Authority(tmp_path, "root"))


def _peer(*arguments: object) -> str:
    """Run model-signing; return what it says when it refuses, else nothing."""
    command = [PEER, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _verified(bundle: Path, keys: Pair) -> str:
    signature = ["--signature", bundle / "model.sig"]
    return _peer("verify", "key", bundle, *signature, "--public_key", keys.public)


def test_it_reads_what_our_key_signed(bundle_copy: Path, keys: Pair) -> None:
    sign_bundle(read_bundle(bundle_copy), Signer(keys.private))
    assert _verified(bundle_copy, keys) == ""
    (bundle_copy / "config.json").write_text("{}")
    assert "config.json" in _verified(bundle_copy, keys)


def test_it_reads_what_our_certificate_signed(
    bundle_copy: Path, keys: Pair, middle: Authority, tmp_path: Path
) -> None:
    chain = [middle.certificate(keys, "leaf"), middle.file]
    sign_bundle(read_bundle(bundle_copy), Signer(keys.private, chain))
    signature = ["--signature", bundle_copy / "model.sig"]
    root = ["--certificate_chain", tmp_path / "root.pem"]
    assert _peer("verify", "certificate", bundle_copy, *signature, *root) == ""


def test_we_read_what_its_key_signed(bundle_copy: Path, keys: Pair) -> None:
    signature = ["--signature", bundle_copy / "model.sig"]
    assert _peer("sign", "key", bundle_copy, *signature, "--private_key", keys.private) == ""
    open_bundle(bundle_copy, Trusted(keys.public))
    (bundle_copy / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"config\.json"):
        open_bundle(bundle_copy, Trusted(keys.public))


def test_we_read_what_its_certificate_signed(
    bundle_copy: Path, keys: Pair, middle: Authority, tmp_path: Path
) -> None:
    signature = ["--signature", bundle_copy / "model.sig", "--private_key", keys.private]
    leaf = ["--signing_certificate", middle.certificate(keys, "leaf")]
    chain = ["--certificate_chain", middle.file]
    assert _peer("sign", "certificate", bundle_copy, *signature, *leaf, *chain) == ""
    open_bundle(bundle_copy, Trusted(tmp_path / "root.pem"))
