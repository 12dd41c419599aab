// A web shop that books what it is told, as often as it is told, and fails in the way that it is told.
//
//   node shop.mjs DIR
//
// It makes its certificates in DIR, listens on free loopback ports, prints one JSON line (`Ready`), and runs until
// SIGTERM. A plain control port takes `POST /scenario` (`Scenario`) and answers `GET /state` (`State`).

import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { makeCertificates } from './certificates.mjs';
import { ArmedFault, CONNECTION_FAULTS, ORDER_FAULTS } from './faults.mjs';
import { goawayBelowAll, goawayCovering, refuse, reset } from './h2.mjs';
import { Ledger } from './ledger.mjs';
import { meter } from './meter.mjs';
import { PIXEL_PNG, errorPage, fetchPage, formPage, orderPage, ordersPage, streamsPage } from './pages.mjs';
import { echoWebSocket } from './websocket.mjs';

/**
 * @typedef {'plain' | 'h1' | 'h2' | 'any'} Door  http · https with HTTP/1.1 · https with HTTP/2 · https with either
 *
 * @typedef {object} Ready
 * @property {Record<Door, number>} ports
 * @property {number} control_port
 * @property {string} ca_file
 * @property {string} spki
 *
 * @typedef {object} Scenario
 * @property {string} [ledger] starts a new one at this path; what is under way still books in the old one
 * @property {import('./faults.mjs').Fault | null} fault
 *
 * @typedef {object} State
 * @property {number} attempts orders that reached this scenario's shop, also in part
 * @property {number} in_flight orders that have neither been answered nor cut
 *
 * @typedef {object} Book  what belongs to one scenario
 * @property {Ledger} ledger
 * @property {State} state
 *
 * @typedef {http.IncomingMessage | http2.Http2ServerRequest} Request
 * @typedef {http.ServerResponse | http2.Http2ServerResponse} Response
 */

const FORM_BYTES_MAX = 64 * 1024;
const EVENTS = 3;
const EVENT_GAP_MS = 50;
/** A site must see none of these: the step's key belongs to the proxy, the credentials too, and no site here opted in to keys. */
const PRIVATE_HEADERS = ['x-idem-key', 'idempotency-key', 'proxy-authorization', 'proxy-connection'];

const dir = process.argv[2];
const certificates = makeCertificates(dir);
const armed = new ArmedFault();
/** @type {Book} */
let book = openBook(`${dir}/ledger.jsonl`);
/** @type {WeakMap<import('node:net').Socket, import('./meter.mjs').Connection>} */
const connections = new WeakMap();
/** @type {WeakMap<http2.ServerHttp2Session, import('node:tls').TLSSocket>} */
const sessionSockets = new WeakMap();

const tls = { key: certificates.key, cert: certificates.chain };
const doors = {
  plain: metered(http.createServer(handle), 'connection'),
  h1: metered(https.createServer({ ...tls, ALPNProtocols: ['http/1.1'] }, handle), 'secureConnection'),
  h2: withSessionSockets(http2.createSecureServer(tls, handle)),
  any: withSessionSockets(http2.createSecureServer({ ...tls, allowHTTP1: true }, handle)),
};
const control = http.createServer(handleControl);

/** @type {Record<string, number>} */
const ports = {};
for (const [name, server] of Object.entries(doors)) {
  server.prependListener('connection', (/** @type {import('node:net').Socket} */ socket) => {
    socket.on('error', () => socket.destroy());
    if (armed.take(CONNECTION_FAULTS).kind === 'cut-handshake') socket.destroy();
  });
  server.on('upgrade', echoWebSocket);
  ports[name] = await listen(server);
}
const control_port = await listen(control);
console.log(JSON.stringify({ ports, control_port, ca_file: certificates.ca_file, spki: certificates.spki }));
process.on('SIGTERM', () => process.exit(0));

/** @param {import('node:net').Server} server */
async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
}

/** @param {string} file @returns {Book} */
function openBook(file) {
  return { ledger: new Ledger(file), state: { attempts: 0, in_flight: 0 } };
}

/**
 * @template {http.Server | https.Server} S
 * @param {S} server
 * @param {'connection' | 'secureConnection'} event
 * @returns {S}
 */
function metered(server, event) {
  server.on(event, (socket) => {
    connections.set(socket, meter(socket, armed, () => { book.state.attempts += 1; }));
  });
  return server;
}

/**
 * Remembers each session's own socket, which the session hides.
 * @param {http2.Http2SecureServer} server
 */
function withSessionSockets(server) {
  /** @type {import('node:tls').TLSSocket} */
  let newest;
  server.prependListener('secureConnection', (socket) => { newest = socket; });
  server.on('session', (session) => {
    session.on('error', () => session.destroy());
    sessionSockets.set(session, newest);
  });
  return server;
}

/** @param {Request} request @param {Response} response */
async function handle(request, response) {
  const connection = connections.get(request.socket);
  if (connection?.severed) return;
  if (connection) connection.requests += 1;
  request.on('error', () => {});
  response.on('error', () => {});

  const url = new URL(request.url ?? '/', 'https://shop');
  if (request.method === 'POST') await placeOrder(url.pathname, request, response);
  else show(url, response);
}

/** @param {URL} url @param {Response} response */
function show(url, response) {
  const action = url.searchParams.get('action') ?? '/order';
  if (url.pathname === '/product') sendPage(response, 200, formPage(action));
  else if (url.pathname === '/product-fetch') sendPage(response, 200, fetchPage(action));
  else if (url.pathname === '/orders') sendPage(response, 200, ordersPage(book.ledger.booked));
  else if (url.pathname.startsWith('/orders/')) sendPage(response, 200, orderPage(Number(url.pathname.slice('/orders/'.length))));
  else if (url.pathname === '/streams') sendPage(response, 200, streamsPage());
  else if (url.pathname === '/events') sendEvents(response);
  else if (url.pathname === '/pixel.png') send(response, 200, { 'content-type': 'image/png' }, PIXEL_PNG);
  else sendPage(response, 404, errorPage(404));
}

/**
 * Books an order and answers it, with the armed fault on the way.
 *
 * What has arrived whole is booked, whether or not the client is still there: as in most shops.
 *
 * @param {string} path
 * @param {Request} request
 * @param {Response} response
 */
async function placeOrder(path, request, response) {
  const { ledger, state } = book;
  const fault = armed.take(ORDER_FAULTS);
  state.attempts += 1;
  state.in_flight += 1;
  try {
    const body = await readForm(request);
    if (fault.kind === 'refused-stream') return refuse(streamOf(request));
    if (fault.kind === 'goaway-below') return goawayBelowAll(sessionSocketOf(request));
    if (fault.kind === 'delay-before-commit') await delay(fault.delay_ms);
    const leaked = PRIVATE_HEADERS.filter((name) => name in request.headers);
    const order = ledger.book({ path, protocol: request.httpVersion, body, leaked });
    if (fault.kind === 'delay-after-commit') await delay(fault.delay_ms);
    answer(fault, path, order, request, response);
  } finally {
    state.in_flight -= 1;
  }
}

/** @param {Request} request */
async function readForm(request) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
    if (body.length > FORM_BYTES_MAX) throw new Error('the form is too long');
  }
  return body;
}

/**
 * @param {import('./faults.mjs').Fault} fault
 * @param {string} path
 * @param {number} order is booked
 * @param {Request} request
 * @param {Response} response
 */
function answer(fault, path, order, request, response) {
  const html = orderPage(order);
  switch (fault.kind) {
    case 'cut-after-commit':
      return void sessionSocketOf(request).destroy();
    case 'cut-response-length':
      return cutWithin(request, response, { 'content-length': Buffer.byteLength(html) }, html);
    case 'cut-response-chunked':
      return cutWithin(request, response, {}, html);
    case 'status-after-commit':
      return sendPage(response, fault.status ?? 500, errorPage(fault.status ?? 500));
    case 'goaway-covering':
      return goawayCovering(streamOf(request), sessionSocketOf(request));
    case 'reset-after-commit':
      return reset(streamOf(request));
    default:
      return sendOrder(path, order, request, response);
  }
}

/**
 * `/order-redirect` answers as a careful shop does, 303 with a cookie; every other path answers with the page itself.
 * @param {string} path
 * @param {number} order
 * @param {Request} request
 * @param {Response} response
 */
function sendOrder(path, order, request, response) {
  if (path === '/order-redirect') {
    send(response, 303, { location: `/orders/${order}`, 'set-cookie': [`last_order=${order}; Path=/`, 'basket=; Path=/; Max-Age=0'] }, '');
  } else if (request.headers.accept === 'application/json') {
    send(response, 200, { 'content-type': 'application/json' }, JSON.stringify({ order }));
  } else {
    sendPage(response, 200, orderPage(order));
  }
}

/** @param {Request} request @param {Response} response @param {http.OutgoingHttpHeaders} headers @param {string} html */
function cutWithin(request, response, headers, html) {
  const socket = sessionSocketOf(request);
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers });
  /** @type {http.ServerResponse} */ (response).write(html.slice(0, html.length / 2), () => socket.destroy());
}

/** @param {Request} request @returns {import('node:net').Socket} the real socket, for either protocol */
function sessionSocketOf(request) {
  if (!('stream' in request) || !request.stream.session) return request.socket;
  const socket = sessionSockets.get(request.stream.session);
  if (!socket) throw new Error('a session without a socket');
  return socket;
}

/** @param {Request} request */
function streamOf(request) {
  if (!('stream' in request)) throw new Error('this fault needs HTTP/2');
  return request.stream;
}

/** @param {Response} response */
async function sendEvents(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let count = 1; count <= EVENTS && !response.destroyed; count += 1) {
    /** @type {http.ServerResponse} */ (response).write(`data: ${count}\n\n`);
    await delay(EVENT_GAP_MS);
  }
}

/** @param {Response} response @param {number} status @param {string} html */
function sendPage(response, status, html) {
  send(response, status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }, html);
}

/** @param {Response} response @param {number} status @param {http.OutgoingHttpHeaders} headers @param {string | Buffer} body */
function send(response, status, headers, body) {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  /** @type {http.ServerResponse} */ (response).end(body);
}

/** @param {http.IncomingMessage} request @param {http.ServerResponse} response */
async function handleControl(request, response) {
  if (request.method === 'POST' && request.url === '/scenario') {
    /** @type {Scenario} */
    const scenario = JSON.parse(await readForm(request));
    if (scenario.ledger) book = openBook(scenario.ledger);
    armed.arm(scenario.fault);
    if (scenario.fault?.kind === 'cut-handshake') doors.plain.closeIdleConnections(), doors.h1.closeIdleConnections();
  }
  send(response, 200, { 'content-type': 'application/json' }, JSON.stringify(book.state));
}
