// A child process that does not outlive this one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const OUTPUT_KEPT_BYTES = 8 * 1024;

/** @type {Set<import('node:child_process').ChildProcess>} */
const alive = new Set();
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')));

export class Child {
  #process;
  #output = '';
  #exited;

  /** @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
  constructor(command, args, env = process.env) {
    this.#process = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const child = this.#process;
    alive.add(child);
    child.on('close', () => alive.delete(child));
    this.#exited = once(this.#process, 'close').catch((error) => { this.#output += String(error); });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.#output = (this.#output + text).slice(-OUTPUT_KEPT_BYTES);
      });
    }
  }

  /** The newest output of both streams. */
  get output() {
    return this.#output;
  }

  get running() {
    return this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined;
  }

  /** @param {NodeJS.Signals} signal @returns {Promise<void>} once the process is gone */
  async end(signal) {
    if (this.running) this.#process.kill(signal);
    await this.#exited;
  }
}
