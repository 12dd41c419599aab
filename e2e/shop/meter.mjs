// Watches the bytes of an HTTP/1.1 connection, so that the shop can cut in the middle of an order.

import { METER_FAULTS, NO_FAULT } from './faults.mjs';

const ORDER_START = 'POST /order';
/** Inside the request line of every order. */
const HEAD_CUT_BYTES = 16;
/** Inside the body of every order. */
const BODY_CUT_BYTES = 5;

/**
 * @typedef {object} Connection
 * @property {number} requests how many requests have begun on it
 * @property {boolean} severed cut by a fault: what still arrives was never read
 */

/**
 * Meters a connection and applies the fault that is armed for it.
 *
 * The shop's parser listens to the same bytes, so a request on a severed connection may still reach the shop;
 * it must drop that.
 *
 * @param {import('node:net').Socket} socket an HTTP/1.1 connection whose parser is already attached
 * @param {import('./faults.mjs').ArmedFault} armed
 * @param {() => void} onCut is told of each order that the meter cuts
 * @returns {Connection}
 */
export function meter(socket, armed, onCut) {
  /** @type {Connection} */
  const connection = { requests: 0, severed: false };
  let fault = NO_FAULT;
  let request = Buffer.alloc(0);

  socket.prependListener('data', (/** @type {Buffer} */ chunk) => {
    if (chunk.toString('latin1', 0, ORDER_START.length) === ORDER_START) {
      const kinds = METER_FAULTS.filter((kind) => kind !== 'close-on-reuse' || connection.requests > 0);
      fault = armed.take(kinds);
      request = Buffer.alloc(0);
    }
    if (fault === NO_FAULT || connection.severed) return;
    request = Buffer.concat([request, chunk]);
    if (request.length < cutAt(fault, request)) return;
    connection.severed = true;
    onCut();
    socket.destroy();
  });
  return connection;
}

/** @param {import('./faults.mjs').Fault} fault @param {Buffer} request */
function cutAt(fault, request) {
  if (fault.kind === 'close-on-reuse') return 1;
  if (fault.kind === 'cut-request-head') return HEAD_CUT_BYTES;
  const headEnd = request.indexOf('\r\n\r\n');
  return headEnd < 0 ? Infinity : headEnd + 4 + BODY_CUT_BYTES;
}
