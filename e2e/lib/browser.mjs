// Debian's Chromium, and what a user sees in it.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { within } from './wait.mjs';

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** Debian's; where a system has none, Playwright looks for its own. */
const CHROMIUM = '/usr/bin/chromium';

/** Playwright's own switches that keep Chromium from asking for anything but what its pages ask for. */
const SILENCERS = [
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps', '--disable-extensions',
  '--disable-component-extensions-with-background-pages', '--metrics-recording-only',
];
/** Of these two lists Chromium takes the last ones, not Playwright's, which turn the hints off and the accounts' first question. */
const TALKATIVE_FEATURES = ['--enable-features=OptimizationHints', '--disable-features=SkipListAccountsWithoutGaiaCookies'];
const TALKATIVE_ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', ...TALKATIVE_FEATURES,
  // Updates are asked for after a second instead of minutes; hints without the consent that a person gives when signing in.
  '--component-updater=fast-update,initial-delay=1', '--disable-checking-optimization-guide-user-permissions',
];

/**
 * Launches Chromium and makes it trust exactly these authorities.
 * @param {string[]} spkis
 */
export function launch(spkis) {
  return chromium.launch({
    executablePath: existsSync(CHROMIUM) ? CHROMIUM : undefined,
    args: [...ARGS, `--ignore-certificate-errors-spki-list=${spkis.join(',')}`],
  });
}

/**
 * Launches Chromium as a person has it, with its background services. Those belong to the default profile and the browser's own proxy, not
 * to the contexts that `launch` has.
 * @param {object} parts
 * @param {string} parts.profile_dir
 * @param {string} parts.net_log_file receives what Chromium says of each exchange; whole once the context is closed
 * @param {string[]} parts.spkis
 * @param {string} parts.proxy_url
 */
export function launchTalkative({ profile_dir, net_log_file, spkis, proxy_url }) {
  const debian = existsSync(CHROMIUM);
  return chromium.launchPersistentContext(profile_dir, {
    executablePath: debian ? CHROMIUM : undefined,
    // Playwright's headless shell has no background services; its whole Chromium has.
    channel: debian ? undefined : 'chromium',
    proxy: { server: proxy_url, bypass: '<-loopback>' },
    ignoreDefaultArgs: SILENCERS,
    args: [
      ...TALKATIVE_ARGS, `--ignore-certificate-errors-spki-list=${spkis.join(',')}`,
      `--log-net-log=${net_log_file}`, '--net-log-capture-mode=Everything',
    ],
  });
}

/**
 * What the page says in the end.
 *
 * `order` a placed order, first-hand · `replay` the same from the proxy's record · `doubt` the proxy says that the outcome is unknown ·
 * `in-progress` the proxy says to wait · `waiting` nothing new yet · `browser error` Chromium's own page ·
 * `broken page` an answer that breaks off · `other` any other answer
 *
 * @typedef {object} View
 * @property {'order' | 'replay' | 'doubt' | 'in-progress' | 'waiting' | 'browser error' | 'broken page' | 'other'} kind
 * @property {number} [order]
 * @property {number} [status] of the last answer to a POST
 * @property {string} text the page's, or the answer's, for the report
 */

/** Watches the orders that one page posts, and reads the page. */
export class Watch {
  /** What Playwright reports: the orders posted by the page, which is not what a network sees. */
  posts = 0;
  /** What was seen after each submit, in order. @type {View[]} */
  views = [];
  /** @type {import('playwright-core').Request | undefined} */
  #post;
  /** @type {import('playwright-core').Response | undefined} */
  #answer;
  #brokenOff = false;
  #page;

  /** @param {import('playwright-core').Page} page */
  constructor(page) {
    this.#page = page;
    page.on('request', (request) => {
      if (request.method() !== 'POST') return;
      this.posts += 1;
      this.#post = request;
      this.#answer = undefined;
      this.#brokenOff = false;
    });
    page.on('response', (response) => {
      if (response.request() === this.#post) this.#answer = response;
    });
    page.on('requestfailed', (request) => {
      if (request === this.#post && this.#answer) this.#brokenOff = true;
    });
  }

  /**
   * Waits until the page shows the end of a submit, or patience ends.
   * @param {number} patience_ms
   * @returns {Promise<View>}
   */
  async view(patience_ms) {
    const view = await this.#see(patience_ms);
    this.views.push(view);
    return view;
  }

  /** @param {number} patience_ms @returns {Promise<View>} */
  async #see(patience_ms) {
    const seen = await within(patience_ms, () => this.#look());
    if (!seen) return { kind: 'waiting', text: '' };
    const status = this.#answer?.status();
    const common = { status, text: seen.text };
    if (this.#brokenOff) return { kind: 'broken page', ...common };
    if (seen.order !== null) {
      const replayed = this.#answer?.headers()['idempotent-replayed'] === 'true';
      return { kind: replayed ? 'replay' : 'order', order: seen.order, ...common };
    }
    if (seen.href.startsWith('chrome-error:')) return { kind: 'browser error', ...common };
    if (status === 409 && saysDoubt(seen.text)) return { kind: 'doubt', ...common };
    if (status === 409 && /in[- ]progress/i.test(seen.text)) return { kind: 'in-progress', ...common };
    return { kind: 'other', ...common };
  }

  /** What the page shows, once that is the end of a submit. */
  async #look() {
    const page = await this.#page.evaluate(readPage).catch(() => undefined);
    return page && (page.settled || this.#brokenOff) ? page : undefined;
  }
}

/** A person must learn both that nobody knows and that a repeat would be wrong; a script gets the problem's type. @param {string} text */
function saysDoubt(text) {
  return text.includes('outcome-unknown') || (/unknown/i.test(text) && /do not submit again/i.test(text));
}

/** Runs in the page. */
function readPage() {
  const placed = /** @type {HTMLElement | null} */ (document.querySelector('[data-order]'));
  const button = /** @type {HTMLButtonElement | null} */ (document.querySelector('#buy'));
  const result = document.querySelector('#result');
  const answered = button === null || (result?.textContent !== undefined && result.textContent !== '' && !button.disabled);
  return {
    settled: document.readyState === 'complete' && answered,
    href: location.href,
    order: placed ? Number(placed.dataset.order) : null,
    text: document.body?.innerText.trim().slice(0, 600) ?? '',
  };
}
