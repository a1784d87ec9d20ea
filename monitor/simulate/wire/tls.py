"""Certificates for the fault `tls`: one that no client may accept, one for this machine."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

# A name that is reserved, so that nobody ever asks for it.
WRONG_HOST = "DNS:elsewhere.invalid"
COMMAND_S = 30.0


class Certificates(NamedTuple):
    """A server's contexts: with a certificate for another host, and with one for this one."""

    wrong: ssl.SSLContext
    right: ssl.SSLContext


def certificates(address: str) -> Certificates:
    """Make both, self-signed; ValueError says what was missing."""
    return Certificates(_context(WRONG_HOST), _context(f"IP:{address}"))


def _context(host: str) -> ssl.SSLContext:
    with TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj"]
        command += [f"/CN={host.partition(':')[2]}", "-addext", f"subjectAltName={host}"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_S)
        except FileNotFoundError:
            raise ValueError("expected openssl for the fault tls, found none") from None
        except subprocess.SubprocessError as error:
            found = getattr(error, "stderr", None) or error
            raise ValueError(f"expected a certificate from openssl, found {found}") from error
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        return context
