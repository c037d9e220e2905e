"""Keys and certificates, by the package cryptography, which only this file imports.

Elliptic curves of the kinds that Model Signing allows. A certificate is judged as of the day from
which it is valid, as there is nobody to ask when it signed: whoever revokes one signs anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError, OptionError, one_line
from .envelope import Envelope, signed_bytes

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


class Signer:
    """Signs with a private key, in its own name or that of its certificate."""

    def __init__(self, key: Path, chain: Sequence[Path] = (), password: str | None = None) -> None:
        """Read the key, and the certificates of `chain`, the signer's first.

        Raises:
            OptionError: when a file holds none, or the certificate is another key's.
            MissingExtraError: when cryptography is not installed.

        """
        self._key = _private_key(key, password)
        self._certificates = [one for file in chain for one in _certificates(file)]
        if self._certificates and self._certificates[0].public_key() != self._key.public_key():
            raise OptionError(f"{chain[0]}: its first certificate is not of the key in {key}")

    def sign(self, payload: bytes) -> Envelope:
        """Return the payload with its signature."""
        public = self._key.public_key()
        signature = self._key.sign(signed_bytes(payload), _algorithm(public))
        if self._certificates:
            der = _module("hazmat.primitives.serialization").Encoding.DER
            chain = tuple(one.public_bytes(der) for one in self._certificates)
            return Envelope(payload, signature, certificates=chain)
        return Envelope(payload, signature, key_hint=_hint(public))


class Trust:
    """A public key, or the certificates of authorities, that are believed."""

    def __init__(self, file: Path) -> None:
        """Read them.

        Raises:
            OptionError: when the file holds neither.
            MissingExtraError: when cryptography is not installed.

        """
        self._file = file
        if _CERTIFICATE in _content(file):
            self._roots: list[x509.Certificate] = _certificates(file)
            self._public = None
        else:
            self._roots, self._public = [], _public_key(file)

    def check(self, envelope: Envelope) -> None:
        """See that one of those that are believed signed it.

        Raises:
            ValueError: when none did; says what is wrong.

        """
        public = self._public if self._public is not None else self._certified(envelope)
        if envelope.key_hint and envelope.key_hint != _hint(public):
            raise ValueError(f"it was made with another key than that of {self._file}")
        invalid = _module("exceptions").InvalidSignature
        try:
            public.verify(envelope.signature, envelope.signed, _algorithm(public))
        except invalid as error:
            raise ValueError(f"it was not made with the key of {self._file}") from error

    def _certified(self, envelope: Envelope) -> ec.EllipticCurvePublicKey:
        """Return the key of the certificate that signed, once its chain leads to a root."""
        if not envelope.certificates:
            raise ValueError(f"it was made with a key alone, and {self._file} holds certificates")
        from cryptography import x509
        from cryptography.x509 import verification

        try:
            first, *others = map(x509.load_der_x509_certificate, envelope.certificates)
            verifier = (
                verification.PolicyBuilder()
                .store(verification.Store(self._roots))
                .time(first.not_valid_before_utc)
                .extension_policies(ca_policy=_of_authorities(), ee_policy=_of_signers())
                .build_client_verifier()
            )
            verifier.verify(first, others)
        except (ValueError, verification.VerificationError) as error:
            raise ValueError(
                f"its certificate does not lead to one in {self._file} ({one_line(error)})"
            ) from error
        if not _may_sign(first):
            raise ValueError("its certificate is not one for signatures")
        return _elliptic(first.public_key(), "its certificate")


def _of_authorities() -> Any:
    """Return what is wanted of certificates that vouch for others."""
    from cryptography import x509
    from cryptography.x509 import verification

    def is_authority(_policy: object, _certificate: object, own: x509.BasicConstraints) -> None:
        if not own.ca:
            raise ValueError("a certificate that vouches for others is no authority's")

    present = verification.ExtensionPolicy.permit_all().require_present
    return present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, is_authority)


def _of_signers() -> Any:
    from cryptography.x509 import verification

    return verification.ExtensionPolicy.permit_all()


def _may_sign(certificate: x509.Certificate) -> bool:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        if usage.value.digital_signature:
            return True
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CODE_SIGNING in purposes.value


def _module(name: str) -> ModuleType:
    """Import a module of cryptography.

    Raises:
        MissingExtraError: when it is not installed.

    """
    import importlib

    try:
        return importlib.import_module(f"cryptography.{name}")
    except ModuleNotFoundError as error:
        if error.name != "cryptography":
            raise
        raise MissingExtraError("cryptography", "trust") from error


def _private_key(file: Path, password: str | None) -> ec.EllipticCurvePrivateKey:
    load = _module("hazmat.primitives.serialization").load_pem_private_key
    secret, content = password.encode() if password is not None else None, _content(file)
    try:
        key = load(content, secret)
    except TypeError as error:  # with a password where there is none, or the other way round
        raise OptionError(f"{file}: {one_line(error)}") from error
    except ValueError as error:
        raise OptionError(f"{file} holds no private key in PEM ({one_line(error)})") from error
    try:
        _elliptic(key.public_key(), str(file))
    except ValueError as error:
        raise OptionError(str(error)) from error
    own: ec.EllipticCurvePrivateKey = key
    return own


def _public_key(file: Path) -> ec.EllipticCurvePublicKey:
    load = _module("hazmat.primitives.serialization").load_pem_public_key
    content = _content(file)
    try:
        key = load(content)
    except ValueError as error:
        raise OptionError(
            f"{file} holds neither a public key nor certificates in PEM ({one_line(error)})"
        ) from error
    try:
        return _elliptic(key, str(file))
    except ValueError as error:
        raise OptionError(str(error)) from error


def _certificates(file: Path) -> list[x509.Certificate]:
    load = _module("x509").load_pem_x509_certificates
    content = _content(file)
    try:
        own: list[x509.Certificate] = load(content)
    except ValueError as error:
        raise OptionError(f"{file} holds no certificates in PEM ({one_line(error)})") from error
    return own


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise OptionError(f"{file} cannot be read: {error.strerror}") from error


def _elliptic(key: Any, owner: str) -> ec.EllipticCurvePublicKey:
    """Return a public key of a kind that may sign.

    Raises:
        ValueError: when it is of another kind.

    """
    curve = getattr(getattr(key, "curve", None), "name", type(key).__name__)
    if curve not in _CURVES:
        raise ValueError(
            f"{owner} has a key of {curve}; expected an elliptic curve: {', '.join(_CURVES)}"
        )
    public: ec.EllipticCurvePublicKey = key
    return public


def _algorithm(public: ec.EllipticCurvePublicKey) -> Any:
    hashes = _module("hazmat.primitives.hashes")
    return _module("hazmat.primitives.asymmetric.ec").ECDSA(
        getattr(hashes, _CURVES[public.curve.name])()
    )


def _hint(public: ec.EllipticCurvePublicKey) -> str:
    """Return by what an envelope names a key."""
    serialization = _module("hazmat.primitives.serialization")
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()
