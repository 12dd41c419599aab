// The truth that the scenarios count: one JSON line an order, on disk before any answer.

import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * @typedef {object} Booking
 * @property {number} order 1 for the first order of this ledger
 * @property {string} path where it was posted
 * @property {string} protocol `1.1` or `2.0`
 * @property {string} body the form as received
 * @property {string[]} leaked headers that must never reach a site (the step's key, proxy credentials)
 */

/** The writing end, held by the shop alone. */
export class Ledger {
  #fd;
  #booked = 0;

  /** @param {string} file is created, or emptied */
  constructor(file) {
    this.#fd = openSync(file, 'w');
  }

  /**
   * Books one order and returns once the line is on disk.
   * @param {Omit<Booking, 'order'>} booking
   * @returns {number} the order's number
   */
  book(booking) {
    this.#booked += 1;
    writeSync(this.#fd, `${JSON.stringify({ order: this.#booked, ...booking })}\n`);
    fsyncSync(this.#fd);
    return this.#booked;
  }

  get booked() {
    return this.#booked;
  }

  close() {
    closeSync(this.#fd);
  }
}

/**
 * Reads what a ledger holds now.
 * @param {string} file
 * @returns {Booking[]}
 */
export function readLedger(file) {
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
}
