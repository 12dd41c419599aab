// Waiting on conditions. Nothing in these tests sleeps for a fixed time and then hopes.

import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 20;

/**
 * Polls until `probe` gives something truthy.
 * @template T
 * @param {string} what for the error
 * @param {number} timeout_ms
 * @param {() => T | Promise<T>} probe
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, timeout_ms, probe) {
  const found = await within(timeout_ms, probe);
  if (!found) throw new Error(`not within ${timeout_ms} ms: ${what}`);
  return found;
}

/**
 * Polls until `probe` gives something truthy, or gives up.
 * @template T
 * @param {number} timeout_ms
 * @param {() => T | Promise<T>} probe
 * @returns {Promise<NonNullable<T> | undefined>}
 */
export async function within(timeout_ms, probe) {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > deadline) return undefined;
    await delay(POLL_MS);
  }
}
