// The shop as the scenarios hold it: a process, its doors, its ledger.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLedger } from '../shop/ledger.mjs';
import { Child } from './child.mjs';
import { until } from './wait.mjs';

const SHOP = fileURLToPath(new URL('../shop/shop.mjs', import.meta.url));
const START_MS_MAX = 15_000;
const IDLE_MS_MAX = 15_000;

/** @typedef {import('../shop/shop.mjs').Door} Door */

export class Shop {
  #child;
  #ready;
  #dir;
  #ledger = '';
  #ledgers = 0;

  /** @param {Child} child @param {import('../shop/shop.mjs').Ready} ready @param {string} dir */
  constructor(child, ready, dir) {
    this.#child = child;
    this.#ready = ready;
    this.#dir = dir;
  }

  static async start() {
    const dir = mkdtempSync(join(tmpdir(), 'onceward-shop-'));
    const child = new Child(process.execPath, [SHOP, dir]);
    const line = await until('the shop listens', START_MS_MAX, () => {
      if (!child.running) throw new Error(`the shop ended: ${child.output}`);
      return child.output.match(/^\{.*\}$/m);
    });
    return new Shop(child, JSON.parse(line[0]), dir);
  }

  get ca_file() {
    return this.#ready.ca_file;
  }

  get spki() {
    return this.#ready.spki;
  }

  /** The HTTP/2 door goes by address and the others by name, so that a proxy needs both kinds of certificate. @param {Door} door */
  origin(door) {
    const port = this.#ready.ports[door];
    if (door === 'plain') return `http://localhost:${port}`;
    return door === 'h2' ? `https://127.0.0.1:${port}` : `https://localhost:${port}`;
  }

  /** Starts an empty ledger without a fault. @returns the ledger's path */
  async reset() {
    this.#ledgers += 1;
    this.#ledger = join(this.#dir, `ledger-${this.#ledgers}.jsonl`);
    await this.#control({ ledger: this.#ledger, fault: null });
    return this.#ledger;
  }

  /** @param {import('../shop/faults.mjs').Fault | null} fault */
  async arm(fault) {
    await this.#control({ fault });
  }

  /** @returns {Promise<import('../shop/site.mjs').State>} */
  async state() {
    const response = await fetch(`http://127.0.0.1:${this.#ready.control_port}/state`);
    return /** @type {import('../shop/site.mjs').State} */ (await response.json());
  }

  bookings() {
    return readLedger(this.#ledger);
  }

  /** Returns once no order is being worked on. */
  async idle() {
    await until('the shop is idle', IDLE_MS_MAX, async () => (await this.state()).in_flight === 0);
  }

  /** Ends the process; the ledgers go with it. */
  async stop() {
    await this.#child.end('SIGTERM');
    rmSync(this.#dir, { recursive: true });
  }

  /** @param {import('../shop/site.mjs').Scenario} scenario */
  async #control(scenario) {
    const response = await fetch(`http://127.0.0.1:${this.#ready.control_port}/scenario`, { method: 'POST', body: JSON.stringify(scenario) });
    await response.arrayBuffer();
  }
}
