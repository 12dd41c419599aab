// Cuts an HTTP/1.1 connection in the middle of an order.

import { METER_FAULTS, NO_FAULT } from './faults.mjs';

const ORDER_START = 'POST /order';
/** Inside the request line of every order. */
const HEAD_CUT_BYTES = 16;
/** Inside the body of every order. */
const BODY_CUT_BYTES = 5;

/**
 * Makes the `admit` of one wire.
 *
 * Clients here do not pipeline, so an order starts where a chunk starts.
 *
 * @param {import('./faults.mjs').ArmedFault} armed
 * @param {() => void} onCut is told of each order that the meter cuts
 * @returns {(wire: import('./wire.mjs').Wire, chunk: Buffer) => boolean}
 */
export function orderMeter(armed, onCut) {
  let fault = NO_FAULT;
  let order = Buffer.alloc(0);
  return (wire, chunk) => {
    if (chunk.toString('latin1', 0, ORDER_START.length) === ORDER_START) {
      fault = armed.take(METER_FAULTS.filter((kind) => kind !== 'close-on-reuse' || wire.requests > 0));
      order = Buffer.alloc(0);
    }
    if (fault === NO_FAULT) return true;
    order = Buffer.concat([order, chunk]);
    if (order.length < cutAt(fault, order)) return true;
    onCut();
    return false;
  };
}

/** @param {import('./faults.mjs').Fault} fault @param {Buffer} order what has arrived of it */
function cutAt(fault, order) {
  if (fault.kind === 'close-on-reuse') return 1;
  if (fault.kind === 'cut-request-head') return HEAD_CUT_BYTES;
  const headEnd = order.indexOf('\r\n\r\n');
  return headEnd < 0 ? Infinity : headEnd + 4 + BODY_CUT_BYTES;
}
