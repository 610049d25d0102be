"""Certificates that tests make: of an authority of their own, for a server at 127.0.0.1, and for a client."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.1"
"""The one name that servers have. That of localhost is another one."""
PASSWORD = "of-the-key"
"""Of the key of a client."""


class Authority:
    """Signs certificates; each lies in a file with its key before it, and the key in one of its own beside it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._signed(name, self._key, 1, x509.BasicConstraints(ca=True, path_length=None)))

    def server(self, name: str = "server", days: float = 1) -> Path:
        """Return a server's file; with a negative number of days it has expired so long ago."""
        return self._issue(name, days, x509.SubjectAlternativeName([x509.IPAddress(ip_address(ADDRESS))]), None)

    def client(self, name: str, days: float = 1, password: str | None = None) -> Path:
        """Return a client's file, its key being encrypted where there is a password."""
        return self._issue(name, days, x509.BasicConstraints(ca=False, path_length=None), password)

    def _issue(self, name: str, days: float, extension: x509.ExtensionType, password: str | None) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        encryption = (
            serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        )
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        file = self._folder / f"{self._name}-{name}.pem"
        file.write_bytes(private + self._signed(name, key, days, extension))
        file.with_suffix(".key").write_bytes(private)
        file.with_suffix(".key").chmod(0o600)
        return file

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, days: float, extension: x509.ExtensionType) -> bytes:
        ends = datetime.now(UTC) + timedelta(days=days)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=2))
            .not_valid_after(ends)
            .add_extension(extension, critical=False)
        )
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
