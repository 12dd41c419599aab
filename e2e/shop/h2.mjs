// The endings that only HTTP/2 has (RFC 9113, sections 6.4, 6.8, 8.7).

import { constants } from 'node:http2';

const FRAME_GOAWAY = 7;

/**
 * Says that streams above `last` were not processed, and closes.
 *
 * Written by hand: Node's `session.goaway` cannot name a last stream of 0, it reads that as "the newest".
 *
 * @param {import('./wire.mjs').Wire} wire a session's own
 * @param {number} last the highest stream that may have been processed; 0 for none
 */
export function goaway(wire, last) {
  const frame = Buffer.alloc(9 + 8);
  frame.writeUIntBE(8, 0, 3);
  frame.writeUInt8(FRAME_GOAWAY, 3);
  frame.writeUInt32BE(last, 9);
  wire.hangUp(frame);
}

/** @param {import('node:http2').ServerHttp2Stream} stream */
export function refuse(stream) {
  stream.close(constants.NGHTTP2_REFUSED_STREAM);
}

/** @param {import('node:http2').ServerHttp2Stream} stream */
export function reset(stream) {
  stream.close(constants.NGHTTP2_INTERNAL_ERROR);
}
