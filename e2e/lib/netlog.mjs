// What Chromium itself says that it sent and received, from its NetLog in capture mode `Everything`.
//
// Each HTTP/2 exchange with a site is there twice: the heads as lists, before HPACK, and all bytes within TLS, whose DATA frames are the bodies.

import { readFileSync } from 'node:fs';

/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} url
 * @property {string[]} fields `name: value` in lower-case names, sorted; without `host`
 * @property {string} body base64
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {string[]} fields as above
 * @property {string} body base64
 *
 * @typedef {object} Exchange
 * @property {Request} request
 * @property {Answer} answer
 *
 * @typedef {object} LoggedEvent
 * @property {string} type
 * @property {{ id: number }} source
 * @property {{ stream_id?: number, headers?: string[], bytes?: string, source_dependency?: { id: number } }} [params]
 */

/** RFC 9113, 3.4. */
const PREFACE_BYTES = 24;
/** RFC 9113, 4.1: length, type, flags, stream. */
const FRAME_HEAD_BYTES = 9;
const FRAME_DATA = 0;

/**
 * Reads each answered HTTP/2 exchange.
 * @param {string} file of a browser that has ended
 * @returns {Exchange[]}
 */
export function readExchanges(file) {
  const { constants, events } = JSON.parse(readFileSync(file, 'utf8'));
  const names = Object.fromEntries(Object.entries(constants.logEventTypes).map(([name, number]) => [number, name]));
  /** @type {LoggedEvent[]} */
  const named = events.map((/** @type {{ type: number }} */ event) => ({ ...event, type: names[event.type] }));
  return named.filter(({ type }) => type === 'HTTP2_SESSION_INITIALIZED').flatMap((session) => exchangesOf(session, named));
}

/** @param {LoggedEvent} session @param {LoggedEvent[]} events */
function exchangesOf({ source, params }, events) {
  const heads = (/** @type {string} */ type) => new Map(
    events.filter((event) => event.type === type && event.source.id === source.id).map(({ params: head }) => [head?.stream_id ?? 0, head?.headers ?? []]),
  );
  const bytes = (/** @type {string} */ type) => Buffer.concat(
    events.filter((event) => event.type === type && event.source.id === params?.source_dependency?.id)
      .map(({ params: part }) => Buffer.from(part?.bytes ?? '', 'base64')),
  );
  const sent = heads('HTTP2_SESSION_SEND_HEADERS');
  const received = heads('HTTP2_SESSION_RECV_HEADERS');
  const sentBodies = bodiesIn(bytes('SSL_SOCKET_BYTES_SENT').subarray(PREFACE_BYTES));
  const receivedBodies = bodiesIn(bytes('SSL_SOCKET_BYTES_RECEIVED'));
  return [...received].map(([stream, answer]) => ({
    request: requestOf(sent.get(stream) ?? [], sentBodies.get(stream)),
    answer: answerOf(answer, receivedBodies.get(stream)),
  }));
}

/**
 * The content of all DATA frames, stream by stream. Neither end pads them.
 * @param {Buffer} frames
 */
function bodiesIn(frames) {
  /** @type {Map<number, Buffer>} */
  const bodies = new Map();
  for (let at = 0; at + FRAME_HEAD_BYTES <= frames.length;) {
    const end = at + FRAME_HEAD_BYTES + frames.readUIntBE(at, 3);
    const stream = frames.readUInt32BE(at + 5);
    if (frames[at + 3] === FRAME_DATA) {
      bodies.set(stream, Buffer.concat([bodies.get(stream) ?? Buffer.alloc(0), frames.subarray(at + FRAME_HEAD_BYTES, end)]));
    }
    at = end;
  }
  return bodies;
}

/** @param {string[]} head @param {Buffer} [body] @returns {Request} */
function requestOf(head, body = Buffer.alloc(0)) {
  const { pseudo, fields } = split(head);
  return { method: pseudo[':method'], url: `${pseudo[':scheme']}://${pseudo[':authority']}${pseudo[':path']}`, fields, body: body.toString('base64') };
}

/** @param {string[]} head @param {Buffer} [body] @returns {Answer} */
function answerOf(head, body = Buffer.alloc(0)) {
  const { pseudo, fields } = split(head);
  return { status: Number(pseudo[':status']), fields, body: body.toString('base64') };
}

/** @param {string[]} head */
function split(head) {
  const pseudo = head.filter((line) => line.startsWith(':')).map((line) => {
    const end = line.indexOf(': ', 1);
    return [line.slice(0, end), line.slice(end + 2)];
  });
  return { pseudo: Object.fromEntries(pseudo), fields: head.filter((line) => !line.startsWith(':')).sort() };
}
