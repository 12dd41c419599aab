// Where one scenario plays, once without the proxy and once with it.

import { randomUUID } from 'node:crypto';
import { Watch } from './browser.mjs';

/** The button of every product page. */
export const BUY = '#buy';
const STEP_MS_MAX = 10_000;

/**
 * @typedef {import('playwright-core').Page} Page
 * @typedef {import('playwright-core').Browser} Browser
 *
 * @typedef {object} Tab
 * @property {Page} page
 * @property {Watch} watch
 */

/** Presses the button and returns while the answer is on its way; `page.click` alone would wait for it. @param {Page} page */
export function press(page) {
  return page.click(BUY, { noWaitAfter: true });
}

export class Stage {
  /** One step of one agent: the key that it stamps on each of its orders. */
  key = `e2e-${randomUUID()}`;
  /** @type {Watch[]} */
  #watches = [];
  /** @type {import('playwright-core').BrowserContext[]} */
  #contexts = [];

  /**
   * @param {object} parts
   * @param {Browser} parts.browser
   * @param {() => Promise<Browser>} parts.launchAnother
   * @param {import('./shop.mjs').Shop} parts.shop
   * @param {import('./proxy.mjs').ForwardProxy | null} parts.proxy
   * @param {import('./outside.mjs').Outside | null} parts.outside
   * @param {string[]} parts.spkis of the authorities that a browser has to trust
   * @param {import('../shop/shop.mjs').Door} parts.door
   * @param {import('../shop/faults.mjs').Fault | null} parts.fault
   * @param {boolean} parts.keyed
   */
  constructor({ browser, launchAnother, shop, proxy, outside, spkis, door, fault, keyed }) {
    this.browser = browser;
    this.launchAnother = launchAnother;
    this.shop = shop;
    this.proxy = proxy;
    this.outside = outside;
    this.spkis = spkis;
    this.origin = shop.origin(door);
    this.fault = fault;
    this.keyed = keyed;
  }

  /** How many orders Playwright saw the pages post. */
  get posts() {
    return this.#watches.reduce((sum, watch) => sum + watch.posts, 0);
  }

  /** What the user saw on the way, tab by tab. */
  get views() {
    return this.#watches.flatMap((watch) => watch.views);
  }

  /**
   * Opens the product page in a new profile, then arms the scenario's fault.
   * @param {string} [path]
   * @returns {Promise<Tab>}
   */
  async openShop(path) {
    const tab = await this.newTab(await this.newContext(this.browser), path);
    await this.shop.arm(this.fault);
    return tab;
  }

  /** @param {Browser} browser */
  async newContext(browser) {
    const proxy = this.proxy ? { server: this.proxy.url, bypass: '<-loopback>' } : undefined;
    const context = await browser.newContext({ proxy });
    context.setDefaultTimeout(STEP_MS_MAX);
    this.#contexts.push(context);
    return context;
  }

  /** @param {import('playwright-core').BrowserContext} context @param {string} [path] @returns {Promise<Tab>} */
  async newTab(context, path = '/product') {
    const page = await context.newPage();
    if (this.keyed) await this.#stampKey(page);
    const watch = new Watch(page);
    this.#watches.push(watch);
    await page.goto(this.origin + path);
    return { page, watch };
  }

  /** What the newest profile holds. */
  async cookies() {
    const cookies = await this.#contexts.at(-1)?.cookies(this.origin);
    return Object.fromEntries(cookies?.map(({ name, value }) => [name, value]) ?? []);
  }

  async close() {
    for (const context of this.#contexts) await context.close().catch(() => {});
  }

  /** Stamps the step's key on each order that the page posts, as an agent's harness does. @param {Page} page */
  async #stampKey(page) {
    await page.route((url) => url.pathname.startsWith('/order'), (route) => {
      const request = route.request();
      if (request.method() !== 'POST') return route.continue();
      return route.continue({ headers: { ...request.headers(), 'x-idem-key': this.key } });
    });
  }
}
