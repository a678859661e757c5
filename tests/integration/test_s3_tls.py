"""S3 over TLS, with a certificate that only its operator knows; the library sends bodies in another way there."""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli import storage as looked_at
from config.settings import Settings
from store.files import Storage
from tests.s3_server import S3Server, s3_lacks

MB = 1 << 20
LARGE = bytes(range(256)) * (20 * MB // 256)

pytestmark = pytest.mark.skipif(s3_lacks() is not None, reason=s3_lacks() or "")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that is its own authority, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "our S3")])
    there = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(there, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return files


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(certificate(tmp_path))
    try:
        yield server.start()
    finally:
        server.close()


def test_it_works_with_the_authority_and_says_what_is_missing_without(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", **s3.env}.items():
        monkeypatch.setenv(name, value)
    url, record = s3.env["STORAGE_URL"], "postgresql+psycopg://host/name"
    settings = Settings(_env_file=None, storage_url=url, database_url=record)  # type: ignore[call-arg]
    assert looked_at.storage_trouble(settings) == looked_at.TLS
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    assert looked_at.storage_trouble(settings) is None
    storage, job_id = Storage(url), "a" * 32
    (tmp_path / "large").write_bytes(LARGE)
    storage.put(job_id, "put", tmp_path / "large")
    with storage.create(job_id, "written") as upload:
        upload.write(LARGE)
        upload.keep()
    storage.copy(job_id, "written", "copy")
    for name in ("put", "written", "copy"):
        assert storage.fetch(job_id, name, tmp_path).read_bytes() == LARGE
    with storage.open(job_id, "put") as stream:
        stream.seek(10 * MB + 1)
        assert stream.read(3) == b"\x01\x02\x03"
    storage.delete(job_id)
    assert s3.names(f"jobs/{job_id}") == []
