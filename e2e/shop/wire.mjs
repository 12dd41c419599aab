// A connection as the shop's HTTP servers see it: a stream that can be cut at a chosen byte, and written to between frames.

import { Duplex } from 'node:stream';

/** How long a hung-up peer may take to read its last bytes. */
const LINGER_MS = 500;

/** Passes everything through until it is cut; then the peer sees the connection close, and the server no further byte. */
export class Wire extends Duplex {
  #socket;
  #admit;
  #hungUp = false;

  /**
   * @param {import('node:net').Socket} socket
   * @param {(wire: Wire, chunk: Buffer) => boolean} [admit] sees what arrives; false cuts the wire before the server reads it
   */
  constructor(socket, admit = () => true) {
    super();
    this.#socket = socket;
    this.#admit = admit;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
    socket.on('error', () => this.destroy());
    this.on('error', () => this.destroy());
  }

  /** How many requests the server has taken from this wire. */
  requests = 0;

  /**
   * Sends these bytes as the last ones and closes, without a reset that could overtake them.
   * @param {Buffer} bytes
   */
  hangUp(bytes) {
    this.#hungUp = true;
    this.#socket.end(bytes);
    this.#socket.resume();
    setTimeout(() => this.destroy(), LINGER_MS);
  }

  /** @param {Buffer} chunk */
  #receive(chunk) {
    if (this.#hungUp) return;
    if (!this.#admit(this, chunk)) this.destroy();
    else if (!this.push(chunk)) this.#socket.pause();
  }

  /** @override */
  _read() {
    this.#socket.resume();
  }

  /** @override @param {Buffer} chunk @param {string} _encoding @param {(error?: Error | null) => void} done */
  _write(chunk, _encoding, done) {
    if (this.#hungUp) done();
    else this.#socket.write(chunk, done);
  }

  /** @override @param {() => void} done */
  _final(done) {
    this.#socket.end(done);
  }

  /** @override @param {Error | null} _error @param {(error?: Error | null) => void} done */
  _destroy(_error, done) {
    this.#socket.destroy();
    done();
  }
}
