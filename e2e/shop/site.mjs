// What the shop serves, whichever protocol a request came by: pages, and orders with the armed fault on the way.

import { setTimeout as delay } from 'node:timers/promises';
import { ArmedFault, ORDER_FAULTS } from './faults.mjs';
import { goaway, refuse, reset } from './h2.mjs';
import { Ledger } from './ledger.mjs';
import { PIXEL_PNG, errorPage, fetchPage, formPage, orderPage, ordersPage, streamsPage } from './pages.mjs';

/**
 * @typedef {import('./faults.mjs').Fault} Fault
 *
 * @typedef {object} Scenario
 * @property {string} [ledger] starts a new one at this path; what is under way still books in the old one
 * @property {Fault | null} fault
 *
 * @typedef {object} State
 * @property {number} attempts orders that reached the shop since its ledger was started, also in part
 * @property {number} in_flight those that have neither been answered nor cut
 *
 * @typedef {object} Exchange
 * @property {import('node:http').IncomingMessage | import('node:http2').Http2ServerRequest} request
 * @property {import('node:http').ServerResponse} response
 * @property {import('./wire.mjs').Wire} wire that the request came by
 */

const FORM_BYTES_MAX = 64 * 1024;
const EVENTS = 3;
const EVENT_GAP_MS = 50;
/** A site must see none of these: the step's key and the credentials are the proxy's, and no site here opted in to keys. */
export const PRIVATE_HEADERS = ['x-idem-key', 'idempotency-key', 'proxy-authorization', 'proxy-connection'];

export class Site {
  #armed = new ArmedFault();
  #ledger;
  /** @type {State} */
  #state = { attempts: 0, in_flight: 0 };

  /** @param {string} ledger_file */
  constructor(ledger_file) {
    this.#ledger = new Ledger(ledger_file);
  }

  get armed() {
    return this.#armed;
  }

  get state() {
    return this.#state;
  }

  /** @param {Scenario} scenario */
  begin(scenario) {
    if (scenario.ledger) {
      this.#ledger = new Ledger(scenario.ledger);
      this.#state = { attempts: 0, in_flight: 0 };
    }
    this.#armed.arm(scenario.fault);
  }

  /** Counts an order that was cut before it was a request. */
  noteCut() {
    this.#state.attempts += 1;
  }

  /** @param {Exchange} exchange */
  async serve(exchange) {
    const url = new URL(exchange.request.url ?? '/', 'https://shop');
    if (exchange.request.method === 'POST') await this.#placeOrder(url.pathname, exchange);
    else await this.#show(url, exchange.response);
  }

  /** @param {URL} url @param {Exchange['response']} response */
  #show(url, response) {
    const action = url.searchParams.get('action') ?? '/order';
    if (url.pathname.startsWith('/orders/')) return sendPage(response, 200, orderPage(Number(url.pathname.slice('/orders/'.length))));
    switch (url.pathname) {
      case '/product': return sendPage(response, 200, formPage(action));
      case '/product-fetch': return sendPage(response, 200, fetchPage(action));
      case '/orders': return sendPage(response, 200, ordersPage(this.#ledger.booked));
      case '/streams': return sendPage(response, 200, streamsPage());
      case '/events': return sendEvents(response);
      case '/pixel.png': return send(response, 200, { 'content-type': 'image/png' }, PIXEL_PNG);
      default: return sendPage(response, 404, errorPage(404));
    }
  }

  /**
   * Books an order and answers it. What has arrived whole is booked, whether or not the client is still there, as in most shops.
   * @param {string} path
   * @param {Exchange} exchange
   */
  async #placeOrder(path, { request, response, wire }) {
    const ledger = this.#ledger;
    const state = this.#state;
    const fault = this.#armed.take(ORDER_FAULTS);
    state.attempts += 1;
    state.in_flight += 1;
    try {
      const body = await readForm(request);
      if (body === null) return void wire.destroy();
      if (fault.kind === 'refused-stream') return refuse(streamOf(request));
      if (fault.kind === 'goaway-below') return goaway(wire, 0);
      if (fault.kind === 'delay-before-commit') await delay(fault.delay_ms);
      const leaked = PRIVATE_HEADERS.filter((name) => name in request.headers);
      const order = ledger.book({ path, protocol: request.httpVersion, body, leaked });
      if (fault.kind === 'delay-after-commit') await delay(fault.delay_ms);
      answer(fault, path, order, { request, response, wire });
    } finally {
      state.in_flight -= 1;
    }
  }
}

/**
 * Reads a body to its end.
 * @param {AsyncIterable<Buffer>} request
 * @returns {Promise<string | null>} null if it broke off or is too long
 */
export async function readForm(request) {
  let body = '';
  try {
    for await (const chunk of request) {
      body += chunk;
      if (body.length > FORM_BYTES_MAX) return null;
    }
  } catch {
    return null;
  }
  return body;
}

/**
 * @param {Fault} fault
 * @param {string} path
 * @param {number} order is booked
 * @param {Exchange} exchange
 */
function answer(fault, path, order, { request, response, wire }) {
  const html = orderPage(order);
  switch (fault.kind) {
    case 'cut-after-commit': return void wire.destroy();
    case 'cut-response-length': return cutWithin(response, wire, { 'content-length': Buffer.byteLength(html) }, html);
    case 'cut-response-chunked': return cutWithin(response, wire, {}, html);
    case 'status-after-commit': return sendPage(response, Number(fault.status), errorPage(Number(fault.status)));
    case 'goaway-covering': return goaway(wire, Number(streamOf(request).id));
    case 'reset-after-commit': return reset(streamOf(request));
    default: return sendOrder(path, order, request, response);
  }
}

/**
 * `/order-redirect` answers with 303 and cookies; every other path answers with the page itself, which a reload posts again.
 * @param {string} path
 * @param {number} order
 * @param {Exchange['request']} request
 * @param {Exchange['response']} response
 */
function sendOrder(path, order, request, response) {
  if (path === '/order-redirect') {
    const cookies = [`last_order=${order}; Path=/`, 'basket=; Path=/; Max-Age=0'];
    send(response, 303, { location: `/orders/${order}`, 'set-cookie': cookies }, '');
  } else if (request.headers.accept === 'application/json') {
    send(response, 200, { 'content-type': 'application/json' }, JSON.stringify({ order }));
  } else {
    sendPage(response, 200, orderPage(order));
  }
}

/** @param {Exchange['response']} response @param {Exchange['wire']} wire @param {import('node:http').OutgoingHttpHeaders} headers @param {string} html */
function cutWithin(response, wire, headers, html) {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers });
  response.write(html.slice(0, html.length / 2), () => wire.hangUp(Buffer.alloc(0)));
}

/** @param {Exchange['request']} request */
function streamOf(request) {
  if (!('stream' in request)) throw new Error('this fault needs HTTP/2');
  return request.stream;
}

/** @param {Exchange['response']} response */
async function sendEvents(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (let count = 1; count <= EVENTS; count += 1) {
    response.write(`data: ${count}\n\n`);
    await delay(EVENT_GAP_MS);
  }
}

/** @param {Exchange['response']} response @param {number} status @param {string} html */
function sendPage(response, status, html) {
  send(response, status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' }, html);
}

/**
 * @param {Exchange['response']} response
 * @param {number} status
 * @param {import('node:http').OutgoingHttpHeaders} headers
 * @param {string | Buffer} body
 */
export function send(response, status, headers, body) {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
