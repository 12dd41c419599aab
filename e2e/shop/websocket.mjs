// A WebSocket endpoint that sends each short text frame back (RFC 6455, sections 4.2.2 and 5.2).

import { createHash } from 'node:crypto';

const HANDSHAKE_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const SHORT_FRAME_BYTES_MAX = 125;
const TEXT = 0x81;

/**
 * @param {import('node:http').IncomingMessage} request an upgrade request
 * @param {import('node:stream').Duplex} socket
 */
export function echoWebSocket(request, socket) {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + HANDSHAKE_GUID).digest('base64');
  socket.on('error', () => socket.destroy());
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);

  let unread = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 6) {
      const length = unread[1] & 0x7f;
      if (unread[0] !== TEXT || length > SHORT_FRAME_BYTES_MAX) return void socket.destroy();
      if (unread.length < 6 + length) return;
      const mask = unread.subarray(2, 6);
      const text = Buffer.from(unread.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4]));
      socket.write(Buffer.concat([Buffer.from([TEXT, length]), text]));
      unread = unread.subarray(6 + length);
    }
  });
}
