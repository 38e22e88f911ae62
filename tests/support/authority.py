"""Certificates for a test's servers."""

import ssl
import subprocess
from pathlib import Path


class Authority:
    """A CA of its own in a folder. `file` is what trusts it."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._serial = 0
        self.file = folder / "ca.crt"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def server(self, names: str, *, days: int = 2) -> ssl.SSLContext:
        """For a server with these names, as `DNS:a,IP:127.0.0.1`; one that has ended if `days` is negative."""
        self._serial += 1
        name = f"server{self._serial}"
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        (self._folder / f"{name}.ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-out", f"{name}.crt"),
            *("-set_serial", str(self._serial), "-days", str(days), "-extfile", f"{name}.ext"),
        )
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        made.set_alpn_protocols(["h2", "http/1.1"])  # what a server prefers is not what the client can do
        return made

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
