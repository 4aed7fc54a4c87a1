# SPDX-License-Identifier: BSD-2-Clause
"""Certificates for tests, made by the openssl command: a root, an authority below it, servers.

    ca = certs.Authority(world.path('ca'))
    shop = ca.issue('shop', ['shop.example', '*.shop.example'], key='rsa')
    ca.staple(shop)                                  # shop.ocsp: "good", for a week
    ... --tls-cert shop.cert --tls-key shop.key ...  # clients trust ca.root

What is issued is what a public authority would issue (names in the right place, a serial number
with enough chance in it, a short life, an address to ask about revocation), so that whatever an
auditor finds about it is the server's doing.
"""
import base64
import hashlib
import os
import random
import time

from lab import sh

DAYS = 89
KEYS = {'ec': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
        'ec384': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
        'ed25519': ['ed25519'], 'rsa': ['rsa:2048'], 'rsa1024': ['rsa:1024']}
CONF = '''
[req]
distinguished_name = name
prompt = no
[name]
O = Atlas tests
CN = %(cn)s
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
authorityInfoAccess = OCSP;URI:http://ocsp.e2e.example/
subjectAltName = %(hosts)s
'''


class Identity:
    """A server's certificate with its chain, its key, and perhaps what OCSP says of it."""

    def __init__(self, cert, key, hosts):
        self.cert, self.key, self.hosts, self.ocsp = cert, key, hosts, None

    def serial(self):
        return sh(['openssl', 'x509', '-in', self.cert, '-noout', '-serial']).stdout.split('=')[1] \
            .strip()

    def pin(self):
        """The digest of the public key, as RFC 7469 writes it."""
        pem = sh(['openssl', 'x509', '-in', self.cert, '-noout', '-pubkey']).stdout
        der = base64.b64decode(''.join(pem.splitlines()[1:-1]))
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def replace_with(self, other):
        """New contents under the old names, as a program that renews certificates does it."""
        for mine, theirs in ((self.cert, other.cert), (self.key, other.key),
                             *([(self.ocsp, other.ocsp)] if self.ocsp else ())):
            with open(theirs, 'rb') as f:
                content = f.read()
            with open(mine + '.new', 'wb') as f:
                f.write(content)
            os.rename(mine + '.new', mine)


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.root = self._file('root.pem')
        self.cert, self.key = self._file('authority.pem'), self._file('authority.key')
        self._make('root', 'ec', 'Atlas test root', '', days=30)
        self._make('authority', 'ec', 'Atlas test authority', '', by='root', days=30)

    def _file(self, name):
        return os.path.join(self.folder, name)

    def _make(self, what, key, cn, hosts, by=None, days=DAYS, name=None):
        name = name or what
        conf = self._file(name + '.cnf')
        with open(conf, 'w') as f:
            f.write(CONF % {'cn': cn, 'hosts': hosts or 'DNS:none.example'})
        signer = ['-CA', self._file(by + '.pem'), '-CAkey', self._file(by + '.key')] if by else []
        serial = '0x%032x' % (random.SystemRandom().getrandbits(126) | 1 << 125)
        sh(['openssl', 'req', '-x509', '-config', conf, '-extensions', what, '-newkey', *KEYS[key],
            '-noenc', '-sha256', '-days', str(days), '-set_serial', serial, *signer,
            '-keyout', self._file(name + '.key'), '-out', self._file(name + '.pem')])

    def issue(self, name, hosts, key='ec'):
        """A new certificate; the first of the hosts is its common name. Addresses may be hosts."""
        names = ', '.join(('IP:' if h.replace('.', '').isdigit() else 'DNS:') + h for h in hosts)
        self._make('server', key, hosts[0], names, by='authority', name=name)
        chain = self._file(name + '.chain.pem')
        with open(chain, 'w') as out:
            for path in (self._file(name + '.pem'), self.cert):
                with open(path) as f:
                    out.write(f.read())
        return Identity(chain, self._file(name + '.key'), hosts)

    def staple(self, identity):
        """Asks itself about the certificate."""
        index = identity.cert + '.index'
        end = time.strftime('%y%m%d%H%M%SZ', time.gmtime(time.time() + DAYS * 86400))
        with open(index, 'w') as f:
            f.write('V\t%s\t\t%s\tunknown\t/CN=%s\n' % (end, identity.serial(), identity.hosts[0]))
        sh(['openssl', 'ocsp', '-index', index, '-CA', self.cert, '-issuer', self.cert, '-cert',
            identity.cert, '-rsigner', self.cert, '-rkey', self.key, '-ndays', '7', '-no_nonce',
            '-noverify', '-respout', identity.cert + '.ocsp'])
        identity.ocsp = identity.cert + '.ocsp'
        return identity
