"""tls/update-tls.sh, checked with OpenSSL."""

import os
import re
import shutil

from conftest import run

WALKTHROUGH_LISTING = "ca-key.pem ca.pem cert.pem key.pem ssl-extensions-x509.cnf update-tls.sh"


def make(tls, *options, **keywords):
    return run(tls / "update-tls.sh", *options, cwd="/", **keywords)


def x509(certificate, *options):
    return run("openssl", "x509", "-in", certificate, "-noout", *options).stdout


def belong_together(certificate, key):
    return x509(certificate, "-pubkey") == run("openssl", "pkey", "-in", key, "-pubout").stdout


def verifies(tls):
    return run("openssl", "verify", "-x509_strict", "-purpose", "sslserver",
               "-CAfile", tls / "ca.pem", tls / "cert.pem", check=False).returncode == 0


def test_leaves_exactly_the_files_of_the_walkthrough(tls):
    make(tls)
    assert sorted(os.listdir(tls)) == WALKTHROUGH_LISTING.split()


def test_the_server_certificate_verifies_under_the_authority(tls):
    make(tls)
    assert verifies(tls)
    assert belong_together(tls / "cert.pem", tls / "key.pem")
    assert belong_together(tls / "ca.pem", tls / "ca-key.pem")


def test_the_server_certificate_is_good_for_every_name_of_the_walkthrough(tls):
    make(tls)
    for option, name in [
        ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1"), ("-verify_hostname", "localhost"),
        ("-verify_hostname", "shop.example.com"), ("-verify_hostname", "monolith"),
        ("-verify_hostname", "monolith.default.svc"),
        ("-verify_hostname", "secure-monolith.default.svc"),
    ]:
        run("openssl", "verify", "-CAfile", tls / "ca.pem", option, name, tls / "cert.pem")
    other = run("openssl", "verify", "-CAfile", tls / "ca.pem", "-verify_hostname", "example.org",
                tls / "cert.pem", check=False)
    assert other.returncode != 0


def test_the_certificates_say_what_they_may_be_used_for(tls):
    make(tls)
    authority = x509(tls / "ca.pem", "-text")
    assert re.search(r"Basic Constraints: critical\s+CA:TRUE, pathlen:0", authority)
    assert re.search(r"Key Usage: critical\s+Certificate Sign, CRL Sign\n", authority)
    server = x509(tls / "cert.pem", "-text")
    assert re.search(r"Basic Constraints: critical\s+CA:FALSE", server)
    assert re.search(r"Extended Key Usage: *\n\s+TLS Web Server Authentication\n", server)
    assert "Subject Key Identifier" in server and "Authority Key Identifier" in server


def test_validity_is_what_clients_accept(tls):
    make(tls)
    day = 86400
    def ends_within(name, days):
        return run("openssl", "x509", "-in", tls / name, "-noout", "-checkend", days * day,
                   check=False).returncode == 1
    assert not ends_within("cert.pem", 396) and ends_within("cert.pem", 398)
    assert not ends_within("ca.pem", 3649) and ends_within("ca.pem", 3651)


def test_keys_are_for_their_owner_only(tls):
    make(tls)
    modes = {name: (tls / name).stat().st_mode & 0o777 for name in os.listdir(tls)}
    assert modes["ca-key.pem"] == modes["key.pem"] == 0o600
    assert modes["ca.pem"] == modes["cert.pem"] == 0o644


def test_a_second_run_renews_the_server_pair_under_the_same_authority(tls):
    make(tls)
    before = {name: (tls / name).read_text() for name in os.listdir(tls)}
    make(tls)
    after = {name: (tls / name).read_text() for name in os.listdir(tls)}
    assert after["ca.pem"] == before["ca.pem"] and after["ca-key.pem"] == before["ca-key.pem"]
    assert after["cert.pem"] != before["cert.pem"] and after["key.pem"] != before["key.pem"]
    assert verifies(tls) and belong_together(tls / "cert.pem", tls / "key.pem")


def test_new_ca_replaces_the_authority(tls):
    make(tls)
    old = (tls / "ca.pem").read_text()
    make(tls, "--new-ca")
    assert (tls / "ca.pem").read_text() != old
    assert verifies(tls)
    (tls / "ca.pem").write_text(old)
    assert not verifies(tls)


def test_keys_are_p256_by_default_and_rsa_on_demand(tls):
    make(tls)
    assert "prime256v1" in x509(tls / "cert.pem", "-text")
    make(tls, "--rsa")
    assert "Public-Key: (2048 bit)" in x509(tls / "cert.pem", "-text")
    assert "prime256v1" in x509(tls / "ca.pem", "-text")
    assert verifies(tls)
    make(tls, "--rsa", "--new-ca")
    assert "Public-Key: (2048 bit)" in x509(tls / "ca.pem", "-text")
    assert verifies(tls)


def test_an_authority_without_its_key_is_not_replaced_silently(tls):
    make(tls)
    (tls / "ca-key.pem").unlink()
    before = (tls / "cert.pem").read_text()
    done = make(tls, check=False)
    assert done.returncode == 1
    assert done.stderr == ("update-tls.sh: ca.pem is here but ca-key.pem is not; "
                           "--new-ca makes a new authority\n")
    assert (tls / "cert.pem").read_text() == before


def test_a_foreign_authority_key_is_refused(tls):
    make(tls)
    shutil.copy(tls / "key.pem", tls / "ca-key.pem")
    done = make(tls, check=False)
    assert done.returncode == 1 and "ca-key.pem is not the key of ca.pem" in done.stderr


def test_a_failed_run_leaves_the_pair_as_it_was(tls, tmp_path):
    make(tls)
    before = (tls / "cert.pem").read_text(), (tls / "key.pem").read_text()
    # An openssl that fails at the last step, when the new key exists already.
    broken = tmp_path / "bin" / "openssl"
    broken.parent.mkdir()
    broken.write_text(f'#!/bin/sh\n[ "$1" != verify ] || exit 1\nexec {shutil.which("openssl")} "$@"\n')
    broken.chmod(0o755)
    done = make(tls, check=False, env={"PATH": f"{broken.parent}:{os.environ['PATH']}"})
    assert done.returncode == 1
    assert ((tls / "cert.pem").read_text(), (tls / "key.pem").read_text()) == before
    assert sorted(os.listdir(tls)) == WALKTHROUGH_LISTING.split()


def test_says_that_openssl_is_missing(tls, tmp_path):
    (tmp_path / "bash").symlink_to("/bin/bash")
    done = run("/bin/bash", tls / "update-tls.sh", check=False, env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr == "update-tls.sh: openssl is needed (on Debian: apt-get install openssl)\n"


def test_an_unknown_option_is_a_usage_error(tls):
    done = make(tls, "--old-ca", check=False)
    assert done.returncode == 64 and done.stderr.startswith("usage: update-tls.sh")
