// A throw-away certificate authority and one server certificate, made anew at each start of a server.

import { execFileSync } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const VALID_DAYS = '2';

/**
 * @typedef {object} Certificates
 * @property {string} ca_file PEM of the authority, for `onceward proxy --upstream-ca`
 * @property {Buffer} key PEM of the server's key
 * @property {Buffer} chain PEM of the leaf, then the authority
 * @property {string} spki base64 SHA-256 of the authority's public key, for Chromium's allow-list
 */

/**
 * Makes the authority and a leaf for these names.
 *
 * The chain carries the authority too: Chromium matches its `--ignore-certificate-errors-spki-list` only
 * against certificates that the server sends.
 *
 * @param {string} dir an existing directory that receives the files
 * @param {string} holder whose certificates they are, for their subjects
 * @param {string[]} names as in `subjectAltName`, such as `DNS:localhost`
 * @returns {Certificates}
 */
export function makeCertificates(dir, holder, names) {
  const at = (/** @type {string} */ name) => join(dir, name);
  const openssl = (/** @type {string[]} */ ...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

  openssl('req', '-x509', ...newKey, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', VALID_DAYS,
    '-subj', `/CN=onceward e2e ${holder} CA`, '-addext', 'keyUsage=critical,keyCertSign,cRLSign');
  openssl('req', ...newKey, '-keyout', at('leaf.key'), '-out', at('leaf.csr'), '-subj', `/CN=onceward e2e ${holder}`);
  writeFileSync(at('leaf.ext'), [
    `subjectAltName=${names.join(',')}`,
    'basicConstraints=critical,CA:false',
    'extendedKeyUsage=serverAuth',
  ].join('\n'));
  openssl('x509', '-req', '-in', at('leaf.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial',
    '-out', at('leaf.pem'), '-days', VALID_DAYS, '-extfile', at('leaf.ext'));

  const ca = readFileSync(at('ca.pem'));
  const spki = new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'der' });
  return {
    ca_file: at('ca.pem'),
    key: readFileSync(at('leaf.key')),
    chain: Buffer.concat([readFileSync(at('leaf.pem')), ca]),
    spki: createHash('sha256').update(spki).digest('base64'),
  };
}
