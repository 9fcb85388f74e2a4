"""A throwaway certificate authority: ECDSA P-256, made in a directory and gone with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Certificate"]

# Backdated, so that a sandbox whose clock lags a little still accepts the certificate.
_BACKDATE = timedelta(days=1)
_LIFETIME = timedelta(days=825)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server certificate and its key, both PEM files."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that lives in one directory.

    ``ca_file`` is the PEM file that clients trust (``sslrootcert``, ``--cacert``, ``BEACON_CA_FILE``).
    """

    directory: Path
    ca_file: Path
    _key: ec.EllipticCurvePrivateKey
    _name: x509.Name

    @classmethod
    def create(cls, directory: Path) -> Self:
        """Make the authority's key and certificate in ``directory``, which is created if missing."""
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named("Beacon lab authority")
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        ca_file = directory / "ca.pem"
        ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(directory=directory, ca_file=ca_file, _key=key, _name=name)

    def issue(
        self,
        name: str,
        *,
        dns: Sequence[str],
        addresses: Sequence[str] = (),
        not_after: datetime | None = None,
    ) -> Certificate:
        """Issue a server certificate and write it as ``{name}.pem`` and ``{name}.key``.

        ``dns`` and ``addresses`` become the subject's alternative names (a host name may start with ``*.``).
        ``not_after`` may lie in the past, to get an expired certificate.
        """
        now = datetime.now(UTC)
        end = now + _LIFETIME if not_after is None else not_after
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in dns]
        names += [x509.IPAddress(ip_address(address)) for address in addresses]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(name[:64]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - _BACKDATE)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        issued = Certificate(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        issued.cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        issued.key_file.touch(mode=0o600)
        issued.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return issued


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
