// The built binary, as an agent's operator would run it.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './child.mjs';
import { until } from './wait.mjs';

const BINARY = process.env.ONCEWARD_BIN ?? fileURLToPath(new URL('../../target/debug/onceward', import.meta.url));
/** Without the variables that would configure the binary behind the scenarios' back. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ONCEWARD_')));
const START_MS_MAX = 15_000;
const CRASH_MS_MAX = 10_000;
const LISTENING = /listening on http:\/\/127\.0\.0\.1:(\d+)/;

/** @typedef {'before-claim' | 'after-claim' | 'after-commit' | 'after-store'} CrashPoint  where a build with the feature `crash-points` aborts */

/** An installation: one certificate authority, which all its proxies share. */
export class Installation {
  #dir = mkdtempSync(join(tmpdir(), 'onceward-e2e-'));
  #upstream_ca;
  #stores = 0;
  /** base64 SHA-256 of the authority's public key */
  spki;

  /** @param {string} upstream_ca PEM file of the authority that signed the shop's certificate */
  constructor(upstream_ca) {
    if (!existsSync(BINARY)) throw new Error(`no binary at ${BINARY}; build it, or set ONCEWARD_BIN`);
    this.#upstream_ca = upstream_ca;
    const shown = execFileSync(BINARY, ['ca', 'show', '--json', '--state-dir', this.#dir, '--ca-dir', this.#dir], { env: ENV, encoding: 'utf8' });
    this.spki = JSON.parse(shown).spki_sha256;
  }

  /** Starts a proxy over a new, empty store. @param {CrashPoint} [crash_at] */
  async startProxy(crash_at) {
    this.#stores += 1;
    const store = join(this.#dir, `effects-${this.#stores}.db`);
    const proxy = new ForwardProxy([
      '--state-dir', this.#dir, '--ca-dir', this.#dir, '--store', `sqlite:${store}`, '--upstream-ca', this.#upstream_ca,
    ]);
    await proxy.start(crash_at);
    return proxy;
  }

  /** Forgets the authority and the stores. */
  remove() {
    rmSync(this.#dir, { recursive: true });
  }
}

/** One proxy: its store and its port outlive its process. */
export class ForwardProxy {
  #options;
  #port = 0;
  /** @type {Child | undefined} */
  #child;

  /** @param {string[]} options */
  constructor(options) {
    this.#options = options;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts, or starts again on the same store and the same port. @param {CrashPoint} [crash_at] */
  async start(crash_at) {
    const env = crash_at ? { ...ENV, ONCEWARD_CRASH_AT: crash_at } : ENV;
    const args = ['proxy', '--listen', `127.0.0.1:${this.#port}`, '--control', '127.0.0.1:0', ...this.#options];
    const child = new Child(BINARY, args, env);
    this.#child = child;
    const line = await until('the proxy listens', START_MS_MAX, () => {
      if (!child.running) throw new Error(`the proxy ended: ${child.output}`);
      return child.output.match(LISTENING);
    });
    this.#port = Number(line[1]);
  }

  /** Returns once the process has ended at its crash point. */
  async crashed() {
    await until('the proxy crashes; was it built with --features crash-points?', CRASH_MS_MAX, () => !this.#child?.running);
  }

  async kill() {
    await this.#child?.end('SIGKILL');
  }

  get output() {
    return this.#child?.output ?? '';
  }
}
