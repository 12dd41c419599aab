// The endings that only HTTP/2 has (RFC 9113, sections 6.4, 6.8, 8.7).

import { constants } from 'node:http2';

const FRAME_GOAWAY = 7;

/**
 * Says that no stream of this session was processed, and closes.
 *
 * Written by hand: Node's `session.goaway` cannot name a last stream of 0, it reads that as "the newest".
 *
 * @param {import('node:tls').TLSSocket} socket the session's own
 */
export function goawayBelowAll(socket) {
  const frame = Buffer.alloc(9 + 8);
  frame.writeUIntBE(8, 0, 3);
  frame.writeUInt8(FRAME_GOAWAY, 3);
  socket.write(frame, () => socket.destroy());
}

/**
 * Says that this stream may have been processed, and closes without answering it.
 * @param {import('node:http2').ServerHttp2Stream} stream
 * @param {import('node:tls').TLSSocket} socket the session's own
 */
export function goawayCovering(stream, socket) {
  stream.session?.goaway(constants.NGHTTP2_NO_ERROR, stream.id);
  setImmediate(() => socket.destroy());
}

/** @param {import('node:http2').ServerHttp2Stream} stream */
export function refuse(stream) {
  stream.close(constants.NGHTTP2_REFUSED_STREAM);
}

/** @param {import('node:http2').ServerHttp2Stream} stream */
export function reset(stream) {
  stream.close(constants.NGHTTP2_INTERNAL_ERROR);
}
