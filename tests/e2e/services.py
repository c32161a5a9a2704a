"""The services of a Debian server for test machines, near to how the packages install them.

    with Server(configuration, enable=services.UNITS, files=services.files(folder)) as server:
"""

import glob
import os
import shutil

from certificates import Authority

UNITS = ["php8.2-fpm.service", "postfix.service", "dovecot.service", "postgresql.service",
         "redis-server.service", "ssh.service"]  # nginx is the Server's own

# Units out of configuration: machines hide the host's generators, but these two are part of
# how Debian starts the services.
GENERATORS = ["postfix-instance-generator", "postgresql-generator"]

PROGRAMS = ["/usr/sbin/nginx", "/usr/sbin/php-fpm8.2", "/usr/sbin/postfix", "/usr/sbin/dovecot",
            "/usr/bin/pg_ctlcluster", "/usr/bin/redis-server", "/usr/sbin/sshd"]

HOST = "mail.example.org"  # what the certificate is for
USER, PASSWORD = "ada", "correct horse"  # of dovecot

# Debian's, but for the certificate and whatever the host's own name and aliases would bring in.
# No mail leaves: what is not for this server stays deferred.
POSTFIX = f"""compatibility_level = 3.6
myhostname = {HOST}
mydestination = $myhostname, localhost
mynetworks = 127.0.0.0/8 [::1]/128
inet_interfaces = all
alias_maps =
alias_database =
biff = no
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
smtpd_tls_chain_files = /etc/dovecot/private/dovecot.key, /etc/dovecot/private/dovecot.pem
smtpd_tls_security_level = may
defer_transports = smtp
"""

# A wrong password is answered at once, also the second one.
DOVECOT = """protocols = imap pop3
ssl = yes
ssl_cert = </etc/dovecot/private/dovecot.pem
ssl_key = </etc/dovecot/private/dovecot.key
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
mail_location = maildir:/var/mail/%u
first_valid_uid = 8
passdb {
  driver = passwd-file
  args = scheme=PLAIN /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/var/mail/%u
}
"""


def why_not():
    """Which of the services is not installed, or None."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    missing += [] if glob.glob("/etc/postgresql/*/main") else ["a cluster of postgresql"]
    return f"not installed: {', '.join(missing)}" if missing else None


def postgres_unit():
    version = sorted(glob.glob("/etc/postgresql/*/main"))[-1].split("/")[3]
    return f"postgresql@{version}-main.service"


def files(folder):
    """What a machine needs before it boots, as arguments of Machine.install. The certificate's
    authority stays in `folder`."""
    authority = Authority(folder, "mail")
    certificate, key = authority.issue("mail", f"DNS:{HOST},IP:127.0.0.1", days=60)
    generators = "/usr/lib/systemd/system-generators"
    return [
        *[(f"{generators}/{name}", f"/etc/systemd/system-generators/{name}", 0o755)
          for name in GENERATORS],
        (authority.certificate, "/opt/ca.crt", 0o644),
        (certificate, "/etc/dovecot/private/dovecot.pem", 0o644),
        (key, "/etc/dovecot/private/dovecot.key", 0o600),
        (DOVECOT.encode(), "/etc/dovecot/dovecot.conf", 0o644),
        (f"{USER}:{PASSWORD}\n".encode(), "/etc/dovecot/users", 0o644),
        (POSTFIX.encode(), "/etc/postfix/main.cf", 0o644),
        (f"{PASSWORD}\n".encode(), "/opt/password", 0o600),
        (b"wrong\n", "/opt/wrong", 0o600),
    ]
