// A child process that says when it is ready.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const OUTPUT_KEPT_BYTES = 8 * 1024;

export class Child {
  #process;
  #output = '';
  #exited;

  /** @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
  constructor(command, args, env = process.env) {
    this.#process = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exited = once(this.#process, 'close').catch((error) => { this.#output += String(error); });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        this.#output = (this.#output + text).slice(-OUTPUT_KEPT_BYTES);
      });
    }
  }

  get pid() {
    return this.#process.pid;
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
