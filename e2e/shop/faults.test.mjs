// Each fault is what it says, seen by clients that repeat nothing.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import https from 'node:https';
import { after, before, test } from 'node:test';
import { Shop } from '../lib/shop.mjs';

const FORM = 'item=teapot';
const DELAY_MS = 50;

/**
 * The client's end of one order.
 * @typedef {object} Ending
 * @property {number} [status]
 * @property {boolean} [whole] the answer came to its end
 * @property {number} [reset] HTTP/2 error code of the stream
 * @property {number} [last_stream] as a GOAWAY named it
 */

/** @type {[import('./faults.mjs').Fault | null, number, Ending][]} fault, bookings, ending */
const HTTP1 = [
  [null, 1, { status: 200, whole: true }],
  [{ kind: 'delay-before-commit', delay_ms: DELAY_MS }, 1, { status: 200, whole: true }],
  [{ kind: 'delay-after-commit', delay_ms: DELAY_MS }, 1, { status: 200, whole: true }],
  [{ kind: 'cut-handshake' }, 0, {}],
  [{ kind: 'cut-request-head' }, 0, {}],
  [{ kind: 'cut-request-body' }, 0, {}],
  [{ kind: 'close-on-reuse' }, 0, {}],
  [{ kind: 'cut-after-commit' }, 1, {}],
  [{ kind: 'cut-response-length' }, 1, { status: 200, whole: false }],
  [{ kind: 'cut-response-chunked' }, 1, { status: 200, whole: false }],
  [{ kind: 'status-after-commit', status: 408 }, 1, { status: 408, whole: true }],
];

/** @type {[import('./faults.mjs').Fault | null, number, Ending][]} */
const HTTP2 = [
  [null, 1, { status: 200, reset: http2.constants.NGHTTP2_NO_ERROR }],
  [{ kind: 'status-after-commit', status: 421 }, 1, { status: 421, reset: http2.constants.NGHTTP2_NO_ERROR }],
  [{ kind: 'refused-stream' }, 0, { reset: http2.constants.NGHTTP2_REFUSED_STREAM }],
  [{ kind: 'reset-after-commit' }, 1, { reset: http2.constants.NGHTTP2_INTERNAL_ERROR }],
  // Node takes a stream above a GOAWAY for refused, and one that it covers for cancelled when the connection closes.
  [{ kind: 'goaway-below' }, 0, { reset: http2.constants.NGHTTP2_REFUSED_STREAM, last_stream: 0 }],
  [{ kind: 'goaway-covering' }, 1, { reset: http2.constants.NGHTTP2_CANCEL, last_stream: 1 }],
];

/** @type {Shop} */
let shop;
before(async () => { shop = await Shop.start(); });
after(() => shop.stop());

for (const [fault, bookings, ending] of HTTP1) {
  test(`HTTP/1.1: ${fault?.kind ?? 'no fault'}`, async () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    await shop.reset();
    assert.deepEqual(await getOverHttp1(agent), { status: 200, whole: true });
    await shop.arm(fault);
    assert.deepEqual(await orderOverHttp1(agent), ending);
    await shop.idle();
    assert.equal(shop.bookings().length, bookings);
    agent.destroy();
  });
}

for (const [fault, bookings, ending] of HTTP2) {
  test(`HTTP/2: ${fault?.kind ?? 'no fault'}`, async () => {
    await shop.reset();
    await shop.arm(fault);
    assert.deepEqual(await orderOverHttp2(), ending);
    await shop.idle();
    assert.equal(shop.bookings().length, bookings);
  });
}

test('a fault strikes as often as it was told, then never', async () => {
  const agent = new https.Agent({ keepAlive: true });
  await shop.reset();
  await shop.arm({ kind: 'cut-after-commit', times: 2 });
  const endings = [await orderOverHttp1(agent), await orderOverHttp1(agent), await orderOverHttp1(agent)];
  assert.deepEqual(endings, [{}, {}, { status: 200, whole: true }]);
  assert.equal(shop.bookings().length, 3);
  agent.destroy();
});

test('the ledger names what must not reach a site', async () => {
  const agent = new https.Agent();
  await shop.reset();
  await exchange(https.request(`${shop.origin('h1')}/order`, {
    agent, method: 'POST', rejectUnauthorized: false, headers: { 'x-idem-key': 'k' },
  }), FORM);
  assert.deepEqual(shop.bookings(), [{ order: 1, path: '/order', protocol: '1.1', body: FORM, leaked: ['x-idem-key'] }]);
});

/** @param {https.Agent} agent */
function getOverHttp1(agent) {
  return exchange(https.request(`${shop.origin('h1')}/orders`, { agent, rejectUnauthorized: false }), '');
}

/** @param {https.Agent} agent */
function orderOverHttp1(agent) {
  return exchange(https.request(`${shop.origin('h1')}/order`, { agent, method: 'POST', rejectUnauthorized: false }), FORM);
}

/** @param {import('node:http').ClientRequest} request @param {string} body @returns {Promise<Ending>} */
function exchange(request, body) {
  return new Promise((resolve) => {
    request.on('error', () => resolve({}));
    request.on('response', (response) => {
      response.on('error', () => {});
      response.on('close', () => resolve({ status: response.statusCode, whole: response.complete }));
      response.resume();
    });
    request.end(body);
  });
}

/** @returns {Promise<Ending>} */
function orderOverHttp2() {
  return new Promise((resolve) => {
    /** @type {Ending} */
    const ending = {};
    const session = http2.connect(shop.origin('h2'), { rejectUnauthorized: false });
    session.on('error', () => {});
    session.on('goaway', (_code, last_stream) => { ending.last_stream = last_stream; });
    session.on('close', () => resolve(ending));
    const stream = session.request({ ':method': 'POST', ':path': '/order' });
    stream.on('error', () => {});
    stream.on('response', (headers) => { ending.status = headers[':status']; });
    stream.on('close', () => {
      ending.reset = stream.rstCode;
      session.close();
    });
    stream.resume();
    stream.end(FORM);
  });
}
