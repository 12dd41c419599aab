// A proxy that dies, starts again on its store and port, and meets the retry.

import { BUY, press } from './stage.mjs';
import { until } from './wait.mjs';

/**
 * @typedef {import('./stage.mjs').Stage} Stage
 * @typedef {import('./browser.mjs').View} View
 */

const PATIENCE_MS = 10_000;

/** The proxy aborts at the crash point that it was started with. @param {Stage} stage */
export function crash(stage) {
  return retryAfter(stage, (proxy) => proxy.crashed());
}

/** @param {Stage} stage */
export function killBeforeCommit(stage) {
  return retryAfter(stage, async (proxy) => {
    await until('the shop has the order', PATIENCE_MS, async () => (await stage.shop.state()).in_flight === 1);
    await proxy.kill();
  });
}

/** @param {Stage} stage */
export function killAfterCommit(stage) {
  return retryAfter(stage, async (proxy) => {
    await until('the order is booked', PATIENCE_MS, () => stage.shop.bookings().length === 1);
    await proxy.kill();
  });
}

/** @param {Stage} stage */
export function killAfterAnswer(stage) {
  return retryAfter(stage, async (proxy, page) => {
    await page.waitForSelector('[data-order]');
    await proxy.kill();
  });
}

/**
 * Clicks once, lets the proxy die, starts it again, and repeats the order.
 * @param {Stage} stage
 * @param {(proxy: import('./proxy.mjs').ForwardProxy, page: import('./stage.mjs').Page) => Promise<void>} die
 * @returns {Promise<View>} what the repeat showed
 */
async function retryAfter(stage, die) {
  if (!stage.proxy) throw new Error('there is no proxy to kill');
  const { page, watch } = await stage.openShop();
  const product = page.url();
  await press(page);
  await die(stage.proxy, page);
  await watch.view(PATIENCE_MS);
  await stage.proxy.start();
  await page.goto(product);
  await page.click(BUY);
  return watch.view(PATIENCE_MS);
}
