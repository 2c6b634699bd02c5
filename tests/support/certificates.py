"""Certificates for tests and measurements, made by openssl."""
import subprocess


def make_certificate(folder, name="localhost", names=None):
    """A self-signed certificate for `name` and 127.0.0.1, and its key."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", certificate, "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=" + (names or f"DNS:{name},IP:127.0.0.1")], check=True, capture_output=True)
    return certificate, key


def make_expired(folder):
    """One that ended years ago: openssl signs such a one only as an authority."""
    certificate, key = make_certificate(folder)
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n"
                                   "default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n"
                                   "[e]\nsubjectAltName=IP:127.0.0.1\n")
    for args in (["req", "-new", "-key", key, "-out", "csr.pem", "-subj", "/CN=localhost"],
                 ["ca", "-batch", "-selfsign", "-config", "ca.cnf", "-keyfile", key, "-in", "csr.pem", "-notext",
                  "-out", certificate, "-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder)
    return certificate, key
