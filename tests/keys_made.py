"""Keys and certificates made for a test."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Pair:
    """The files of a key pair."""

    private: Path
    public: Path


def pair(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> Pair:
    """Make a key pair."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    made = Pair(folder / f"{name}.key", folder / f"{name}.pub")
    made.private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    made.public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return made


class Authority:
    """A certificate that vouches for others."""

    def __init__(self, folder: Path, name: str, above: Authority | None = None) -> None:
        """Make it, and have it vouched for by the one above, or by itself."""
        self._folder, self._above, self.name = folder, above, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._issued(above or self, name, self._key.public_key(), ca=True))

    def certificate(self, of: Pair, name: str, *, signs: bool = True, ca: bool = False) -> Path:
        """Return the certificate of a key."""
        public = serialization.load_pem_public_key(of.public.read_bytes())
        assert isinstance(public, ec.EllipticCurvePublicKey)
        file = self._folder / f"{name}.pem"
        file.write_bytes(self._issued(self, name, public, ca=ca, signs=signs))
        return file

    @staticmethod
    def _issued(
        issuer: Authority,
        name: str,
        public: ec.EllipticCurvePublicKey,
        *,
        ca: bool,
        signs: bool = True,
    ) -> bytes:
        def called(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        usage = x509.KeyUsage(
            digital_signature=signs and not ca, content_commitment=False,
            key_encipherment=not signs, data_encipherment=False, key_agreement=False,
            key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        built = (
            x509.CertificateBuilder()
            .subject_name(called(name))
            .issuer_name(called(issuer.name))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_DAY)
            .not_valid_after(_DAY + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(issuer._key, hashes.SHA256())
        )
        return built.public_bytes(serialization.Encoding.PEM)
