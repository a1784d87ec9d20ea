"""The page's certificate, renewed on disk while it serves."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from monitor.access.exposure import Exposure
from monitor.page.serving import Renewal, _tls


def make(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_renewed_certificate_is_used_and_half_of_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = make(tmp_path, "old"), make(tmp_path, "new")
    pair = (tmp_path / "used.pem", tmp_path / "used.key")
    for source, target in zip(old, pair, strict=True):
        shutil.copy(source, target)
    exposure = Exposure("127.0.0.1", 0, frozenset(), {}, None, pair, False)

    async def run() -> None:
        server = HTTPServer(tornado.web.Application(), ssl_options=_tls(exposure))
        (sock,) = bind_sockets(0, "127.0.0.1")
        server.add_socket(sock)
        renewal = Renewal(exposure, server)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

        async def served() -> bytes:
            port = sock.getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.transport.abort()
            return found

        assert await served() == der(old[0])
        shutil.copy(new[0], pair[0])
        renewal.look()
        renewal.look()
        assert await served() == der(old[0])
        shutil.copy(new[1], pair[1])
        renewal.look()
        assert await served() == der(new[0])
        server.stop()

    with caplog.at_level(logging.WARNING, "monitor"):
        asyncio.run(run())
    told = [one.getMessage() for one in caplog.records if one.name.startswith("monitor")]
    assert len(told) == 2
    assert told[0].startswith("the certificate is not renewed: expected a certificate and its key")
    assert told[1] == "the certificate was renewed"
