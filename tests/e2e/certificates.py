"""A certificate authority in a folder, by the openssl command.

    ca = Authority(folder, "clients")
    ca.issue("ada", "email:ada@example.org")   # ada.crt, ada.key
"""

import os
import socket
import subprocess


def free_port():
    """A port of loopback that nobody listens at now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Authority:
    def __init__(self, folder, name):
        self.folder = folder
        self.name = name
        self.certificate = self.path(f"{name}-ca.crt")
        self.key = self.path(f"{name}-ca.key")
        self._openssl("req", "-x509", *self._new_key(self.key), "-subj", f"/CN={name} CA",
                      "-days", "2", "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, san, days=2, file=None):
        """Makes FILE.crt and FILE.key (FILE: the name), and returns both paths."""
        file = self.path(file or name)
        # Made beside and renamed, key first: what a careful renewal does.
        new = file + ".new"
        self._openssl("req", *self._new_key(new + ".key"), "-subj", f"/CN={name}",
                      "-out", new + ".csr")
        with open(new + ".ext", "w") as extensions:
            extensions.write(f"subjectAltName={san}\n" if san else "")
        self._openssl("x509", "-req", "-in", new + ".csr", "-CA", self.certificate,
                      "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
                      "-extfile", new + ".ext", "-out", new + ".crt")
        os.rename(new + ".key", file + ".key")
        os.rename(new + ".crt", file + ".crt")
        return file + ".crt", file + ".key"

    @staticmethod
    def _new_key(path):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]

    @staticmethod
    def _openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, capture_output=True, text=True)


def remote(port, folder, server, client_ca):
    """salve.textproto with remote access for three roles."""
    return f"""boot_grace: "0s"
remote {{
  listen: "127.0.0.1:{port}"
  certificate_file: "{folder}/{server}.crt"
  key_file: "{folder}/{server}.key"
  client_ca_file: "{client_ca}"
  role {{ role: VIEWER san: "*.view.example.org" }}
  role {{ role: OPERATOR san: "*@ops.example.org" }}
  role {{ role: ADMIN san: "ada@example.org" }}
}}
"""
