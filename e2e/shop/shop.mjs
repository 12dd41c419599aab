// A web shop that books what it is told, as often as it is told, and fails in the way that it is told.
//
//   node shop.mjs DIR
//
// It makes its certificates in DIR, listens on free loopback ports, prints one JSON line (`Ready`), and runs until
// SIGTERM. A plain control port takes `POST /scenario` and answers `GET /state` (`Scenario`, `State` in site.mjs).

import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { makeCertificates } from './certificates.mjs';
import { CONNECTION_FAULTS, NO_FAULT } from './faults.mjs';
import { orderMeter } from './meter.mjs';
import { Site, readForm, send } from './site.mjs';
import { echoWebSocket } from './websocket.mjs';
import { Wire } from './wire.mjs';

/**
 * @typedef {'plain' | 'h1' | 'h2' | 'any'} Door  http · https with HTTP/1.1 · https with HTTP/2 · https with either
 *
 * @typedef {object} Ready
 * @property {Record<Door, number>} ports
 * @property {number} control_port
 * @property {string} ca_file
 * @property {string} spki
 */

const dir = process.argv[2];
const certificates = makeCertificates(dir, 'shop', ['DNS:localhost', 'IP:127.0.0.1']);
const site = new Site(`${dir}/ledger.jsonl`);
/** @type {Set<Wire>} */
const wires = new Set();
/** @type {WeakMap<http2.Http2Session, Wire>} */
const sessionWires = new WeakMap();

const http1 = http.createServer((request, response) => {
  serve(request, response, /** @type {unknown} */ (request.socket));
});
http1.on('upgrade', echoWebSocket);
const h2 = http2.createServer((request, response) => {
  serve(request, response, request.stream.session && sessionWires.get(request.stream.session));
});
h2.on('session', (session) => session.on('error', () => session.destroy()));
const control = http.createServer(serveControl);

/** @type {Ready} */
const ready = {
  ports: {
    plain: await listen(net.createServer(carryHttp1)),
    h1: await listen(tlsServer(['http/1.1'])),
    h2: await listen(tlsServer(['h2'])),
    any: await listen(tlsServer(['h2', 'http/1.1'])),
  },
  control_port: await listen(control),
  ca_file: certificates.ca_file,
  spki: certificates.spki,
};
console.log(JSON.stringify(ready));
process.on('SIGTERM', () => process.exit(0));

/** @param {net.Server} server */
async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return /** @type {net.AddressInfo} */ (server.address()).port;
}

/** @param {string[]} ALPNProtocols */
function tlsServer(ALPNProtocols) {
  const server = tls.createServer({ key: certificates.key, cert: certificates.chain, ALPNProtocols }, (socket) => {
    if (socket.alpnProtocol === 'h2') carryHttp2(socket);
    else carryHttp1(socket);
  });
  server.prependListener('connection', (socket) => {
    if (site.armed.take(CONNECTION_FAULTS) !== NO_FAULT) socket.destroy();
  });
  return server;
}

/** @param {net.Socket} socket */
function carryHttp1(socket) {
  http1.emit('connection', wireOver(socket, orderMeter(site.armed, () => site.noteCut())));
}

/** @param {net.Socket} socket */
function carryHttp2(socket) {
  const wire = wireOver(socket);
  h2.once('session', (session) => sessionWires.set(session, wire));
  h2.emit('connection', wire);
}

/** @param {net.Socket} socket @param {(wire: Wire, chunk: Buffer) => boolean} [admit] */
function wireOver(socket, admit) {
  const wire = new Wire(socket, admit);
  wires.add(wire);
  wire.on('close', () => wires.delete(wire));
  return wire;
}

/**
 * @param {http.IncomingMessage | http2.Http2ServerRequest} request
 * @param {http.ServerResponse | http2.Http2ServerResponse} response
 * @param {unknown} wire
 */
function serve(request, response, wire) {
  if (!(wire instanceof Wire)) return;
  wire.requests += 1;
  request.on('error', () => {});
  response.on('error', () => {});
  site.serve({ request, response: /** @type {http.ServerResponse} */ (response), wire });
}

/** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
async function serveControl(request, response) {
  if (request.method === 'POST') {
    /** @type {import('./site.mjs').Scenario} */
    const scenario = JSON.parse(String(await readForm(request)));
    site.begin(scenario);
    // Only a client without a connection makes a new one, for this fault to strike.
    if (scenario.fault?.kind === 'cut-handshake') for (const wire of wires) wire.destroy();
  }
  send(response, 200, { 'content-type': 'application/json' }, JSON.stringify(site.state));
}
