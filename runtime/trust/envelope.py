"""`model.sig`: a signed statement as a Sigstore bundle, of keys and certificates alone.

The envelope is DSSE's: what is signed is the payload and its type. Neither transparency log nor
timestamps are read, as there is no network.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LIMIT_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Envelope:
    """A payload and its signature.

    Args:
        payload: the statement.
        signature: in DER.
        key_hint: the sha256 of the public key's PEM in hexadecimal, where a key signed; else "".
        certificates: in DER, the signer's first, where a certificate did.

    """

    payload: bytes
    signature: bytes
    key_hint: str = ""
    certificates: tuple[bytes, ...] = ()

    @property
    def signed(self) -> bytes:
        """What the signature is of (DSSE's pre-authentication encoding)."""
        return signed_bytes(self.payload)


def signed_bytes(payload: bytes) -> bytes:
    """Return what is signed of a payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def written(envelope: Envelope) -> str:
    """Return the file of an envelope."""
    material: dict[str, Any] = {"publicKey": {"hint": envelope.key_hint}}
    if envelope.certificates:
        chain = [{"rawBytes": _encoded(one)} for one in envelope.certificates]
        material = {"x509CertificateChain": {"certificates": chain}}
    whole = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": _encoded(envelope.payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": _encoded(envelope.signature), "keyid": ""}],
        },
    }
    return json.dumps(whole, indent=1) + "\n"


def read_envelope(text: str) -> Envelope:
    """Return the envelope in a file.

    Raises:
        ValueError: when it is of another kind; says what it is.

    """
    try:
        whole = json.loads(text)
        if whole["mediaType"] != MEDIA_TYPE:
            raise ValueError(f"it is a {whole['mediaType']!r:.80}, expected {MEDIA_TYPE}")
        material, envelope = whole["verificationMaterial"], whole["dsseEnvelope"]
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"it signs a {envelope['payloadType']!r:.80}")
        (signature,) = envelope["signatures"]
        chain = material.get("x509CertificateChain", {}).get("certificates", [])
        return Envelope(
            _decoded(envelope["payload"]),
            _decoded(signature["sig"]),
            str(material.get("publicKey", {}).get("hint", "")),
            tuple(_decoded(one["rawBytes"]) for one in chain),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no signature of a model ({error})") from error


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"it holds what is not base64 ({error})") from error
