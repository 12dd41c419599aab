// The built binary, as an agent's operator would run it.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Child } from './child.mjs';
import { until } from './wait.mjs';

const BINARY = process.env.ONCEWARD_BIN ?? fileURLToPath(new URL('../../target/debug/onceward', import.meta.url));
/** Without the variables that would configure the binary behind the scenarios' back. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ONCEWARD_')));
const START_MS_MAX = 15_000;
const CRASH_MS_MAX = 10_000;
/** The tenant under which the program proves a replay to itself. */
const SELF_TEST = 'onceward-self-test';
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

  /**
   * Starts a proxy over a new, empty store.
   * @param {object} [choice]
   * @param {CrashPoint} [choice.crash_at]
   * @param {import('./outside.mjs').Outside | null} [choice.outside] answers for every host but the shop's
   */
  async startProxy({ crash_at, outside } = {}) {
    this.#stores += 1;
    const proxy = new ForwardProxy({
      dir: this.#dir,
      store: join(this.#dir, `effects-${this.#stores}.db`),
      upstream: outside ? this.#through(outside) : ['--upstream-ca', this.#upstream_ca],
    });
    await proxy.start(crash_at);
    return proxy;
  }

  /** @param {import('./outside.mjs').Outside} outside */
  #through(outside) {
    const upstream_ca = join(this.#dir, `upstream-ca-${this.#stores}.pem`);
    writeFileSync(upstream_ca, readFileSync(this.#upstream_ca, 'utf8') + readFileSync(outside.ca_file, 'utf8'));
    return ['--upstream-ca', upstream_ca, '--upstream-proxy', outside.url, '--no-proxy', 'localhost,127.0.0.1'];
  }

  /** Forgets the authority and the stores. */
  remove() {
    rmSync(this.#dir, { recursive: true });
  }
}

/** One proxy: its store and its port outlive its process. */
export class ForwardProxy {
  #store;
  #state_options;
  #proxy_options;
  #port = 0;
  /** @type {Child | undefined} */
  #child;

  /**
   * @param {object} parts
   * @param {string} parts.dir the state and the authority
   * @param {string} parts.store
   * @param {string[]} parts.upstream options that say how sites are reached
   */
  constructor({ dir, store, upstream }) {
    this.#store = store;
    this.#state_options = ['--state-dir', dir, '--store', `sqlite:${store}`];
    this.#proxy_options = ['--ca-dir', dir, ...upstream];
  }

  get url() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts, or starts again on the same store and the same port. @param {CrashPoint} [crash_at] */
  async start(crash_at) {
    const env = crash_at ? { ...ENV, ONCEWARD_CRASH_AT: crash_at } : ENV;
    const args = ['proxy', '--listen', `127.0.0.1:${this.#port}`, '--control', '127.0.0.1:0', ...this.#state_options, ...this.#proxy_options];
    const child = new Child(BINARY, args, env);
    this.#child = child;
    const line = await until('the proxy listens', START_MS_MAX, () => {
      if (!child.running) throw new Error(`the proxy ended: ${child.output}`);
      return child.output.match(LISTENING);
    });
    this.#port = Number(line[1]);
  }

  /** What is remembered, without the record of the self-test at start. @returns {{ effect: string, state: string }[]} */
  effects() {
    const listed = JSON.parse(execFileSync(BINARY, ['effects', 'list', '--json', ...this.#state_options], { env: ENV, encoding: 'utf8' }));
    return listed.effects
      .filter((/** @type {{ tenant: string }} */ { tenant }) => tenant !== SELF_TEST)
      .map((/** @type {{ effect: string, state: string }} */ { effect, state }) => ({ effect, state }));
  }

  /** The value of one metric; of a family with labels, the sum. @param {string} name @returns {Promise<number>} */
  async metric(name) {
    const lines = (await this.#metrics()).split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  /** @returns {Promise<string>} */
  #metrics() {
    return new Promise((resolve, reject) => {
      const request = http.get({ socketPath: `${this.#store}.control/socket`, path: '/metrics' }, (response) => resolve(text(response)));
      request.on('error', reject);
    });
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
