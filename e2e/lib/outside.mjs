// Every host but the shop's: a proxy above the proxy that connects to nobody and answers in their place.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import tls from 'node:tls';
import { makeCertificates } from '../shop/certificates.mjs';

/** A site with a form that browsers know how to fill in. */
const FORM_HOST = 'forms.example';
export const FORM_URL = `https://${FORM_HOST}/`;
/** Where Chromium's services live. A host under no such name gets no TLS connection. */
const SERVICE_NAMES = ['google.com', '*.google.com', '*.googleapis.com', '*.gstatic.com', '*.gvt1.com', '*.me.gvt1.com', '*.googleusercontent.com'];
const FORM_PAGE = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Address</title><form method="post">
  ${['name', 'street-address', 'postal-code', 'email', 'tel'].map((name) => `<input name="${name}" autocomplete="${name}">`).join('')}
  <button>Save</button></form></html>`;
/** Bytes that would not survive being taken for text. */
const ODD_BYTES = Buffer.from([0x00, 0xff, 0xfe, 0x0d, 0x0a, 0x80]);

/** Names each answer, so that it can be found again where it was received. */
export const ANSWER_NUMBER = 'x-answer';

/** @typedef {import('./netlog.mjs').Exchange} Exchange  the request as it arrived, the answer as it was given */

export class Outside {
  /** All that arrived whole, in order. @type {Exchange[]} */
  exchanges = [];
  #dir = mkdtempSync(join(tmpdir(), 'onceward-outside-'));
  #certificates = makeCertificates(this.#dir, 'outside', [FORM_HOST, ...SERVICE_NAMES].map((name) => `DNS:${name}`));
  #proxy = http.createServer((request, response) => this.#answer(request.url ?? '', request, response));
  #site = http.createServer((request, response) => this.#answer(`https://${request.headers.host}${request.url}`, request, response));

  static async start() {
    const outside = new Outside();
    outside.#proxy.on('connect', (_request, socket, head) => outside.#intercept(socket, head));
    outside.#proxy.listen(0, '127.0.0.1');
    await once(outside.#proxy, 'listening');
    return outside;
  }

  get url() {
    return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.#proxy.address()).port}`;
  }

  get ca_file() {
    return this.#certificates.ca_file;
  }

  /** Requests that no page made. */
  get own() {
    return this.exchanges.filter(({ request }) => !request.url.startsWith(FORM_URL));
  }

  /** Those of them that a proxy has to count as writes. */
  get ownWrites() {
    return this.own.filter(({ request }) => request.method !== 'GET');
  }

  stop() {
    this.#proxy.close();
    this.#proxy.closeAllConnections();
    this.#site.closeAllConnections();
    rmSync(this.#dir, { recursive: true });
  }

  /** @param {import('node:stream').Duplex} socket @param {Buffer} head */
  #intercept(socket, head) {
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    socket.unshift(head);
    const { key, chain } = this.#certificates;
    const inside = new tls.TLSSocket(/** @type {import('node:net').Socket} */ (socket), { isServer: true, key, cert: chain });
    inside.on('error', () => inside.destroy());
    this.#site.emit('connection', inside);
  }

  /** @param {string} url @param {http.IncomingMessage} incoming @param {http.ServerResponse} outgoing */
  async #answer(url, incoming, outgoing) {
    const body = await buffer(incoming).catch(() => null);
    if (body === null) return;
    const request = { method: incoming.method ?? '', url, fields: fieldsOf(incoming), body: body.toString('base64') };
    const { status, type, content } = this.#contentFor(request);
    const fields = {
      'content-length': `${content.length}`,
      'content-type': type,
      // Whoever passes an answer on without a date adds one.
      date: new Date().toUTCString(),
      [ANSWER_NUMBER]: `${this.exchanges.length}`,
    };
    const answer = { status, fields: Object.entries(fields).map((field) => field.join(': ')), body: content.toString('base64') };
    this.exchanges.push({ request, answer });
    outgoing.writeHead(status, fields);
    outgoing.end(content);
  }

  /**
   * Each service is overloaded at its first write, so that Chromium repeats what it repeats by itself.
   * @param {import('./netlog.mjs').Request} request
   */
  #contentFor({ method, url }) {
    if (url.startsWith(FORM_URL)) return { status: 200, type: 'text/html; charset=utf-8', content: Buffer.from(FORM_PAGE) };
    const first = !this.ownWrites.some(({ request }) => endpointOf(request.url) === endpointOf(url));
    if (method !== 'GET' && first) return { status: 503, type: 'text/plain', content: Buffer.alloc(0) };
    return { status: 200, type: 'application/octet-stream', content: ODD_BYTES };
  }
}

/** The URL without its query, which often carries what is new in each request, and keys. @param {string} url */
export function endpointOf(url) {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

/** Without `host`, which the URL says, sorted. @param {http.IncomingMessage} incoming */
function fieldsOf({ rawHeaders }) {
  const names = rawHeaders.filter((_, index) => index % 2 === 0);
  return names.map((name, index) => `${name.toLowerCase()}: ${rawHeaders[2 * index + 1]}`).filter((field) => !field.startsWith('host: ')).sort();
}
