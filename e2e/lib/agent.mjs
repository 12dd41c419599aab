// How users and agents press a button that must work once.

import { setTimeout as delay } from 'node:timers/promises';
import { BUY, press } from './stage.mjs';
import { until } from './wait.mjs';

/**
 * @typedef {import('./stage.mjs').Stage} Stage
 * @typedef {import('./browser.mjs').View} View
 */

const PATIENCE_MS = 10_000;
/** An agent that gives a slow click up too early. */
const IMPATIENCE_MS = 1_000;
const TRIES_MAX = 2;
const RESULT_PATH = '/order';
/** A person's. Chromium posts a form once for two clicks without a gap, and twice from about 30 ms on. */
const CLICK_GAP_MS = 50;

/** @param {Stage} stage */
export function doubleClick(stage) {
  return doubleClickAt(stage, '/product');
}

/** The order answers with 303 and cookies; they must reach the user although the first answer went to an aborted navigation. @param {Stage} stage */
export async function doubleClickForRedirect(stage) {
  const view = await doubleClickAt(stage, '/product?action=/order-redirect');
  const cookies = await stage.cookies();
  if (cookies.last_order !== String(view.order)) throw new Error(`the user saw order ${view.order} and holds cookies ${JSON.stringify(cookies)}`);
  return view;
}

/** @param {Stage} stage @param {string} path @returns {Promise<View>} */
async function doubleClickAt(stage, path) {
  return doubleClickIn(await stage.openShop(path));
}

/** @param {import('./stage.mjs').Tab} tab that shows a product */
export async function doubleClickIn({ page, watch }) {
  await page.dblclick(BUY, { delay: CLICK_GAP_MS });
  return watch.view(PATIENCE_MS);
}

/** Mouse events at one spot, sent without waiting for what the first ones do, as agents on bare CDP do. @param {Stage} stage */
export async function rawDoubleClick(stage) {
  const { page, watch } = await stage.openShop();
  const at = await middleOf(page);
  const devtools = await page.context().newCDPSession(page);
  const send = (/** @type {'mousePressed' | 'mouseReleased'} */ type) =>
    devtools.send('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount: 1 });
  const first = [send('mousePressed'), send('mouseReleased')];
  await delay(CLICK_GAP_MS);
  await Promise.all([...first, send('mousePressed'), send('mouseReleased')]);
  return watch.view(PATIENCE_MS);
}

/** @param {import('./stage.mjs').Page} page */
async function middleOf(page) {
  const box = await page.locator(BUY).boundingBox();
  if (!box) throw new Error('the button is not visible');
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** @param {Stage} stage */
export async function reloadResult(stage) {
  const { page, watch } = await stage.openShop();
  await page.click(BUY);
  await page.waitForURL((url) => url.pathname === RESULT_PATH);
  await page.reload();
  return watch.view(PATIENCE_MS);
}

/**
 * Clicks, and as long as no order is seen, goes back and clicks again.
 * @param {Stage} stage
 */
export async function clickUntilOrder(stage) {
  const { page, watch } = await stage.openShop();
  const product = page.url();
  await page.click(BUY);
  let view = await watch.view(PATIENCE_MS);
  for (let tries = 1; tries < TRIES_MAX && view.order === undefined; tries += 1) {
    await page.goto(product);
    await page.click(BUY);
    view = await watch.view(PATIENCE_MS);
  }
  return view;
}

/** The click times out while the answer is on its way; the agent falls back to the bare mouse, as browser-use and others do. @param {Stage} stage */
export async function timeOutAndClickAgain(stage) {
  const { page, watch } = await stage.openShop();
  const at = await middleOf(page);
  await timeOutClicking(page);
  await page.mouse.click(at.x, at.y);
  return watch.view(PATIENCE_MS);
}

/** The click times out while the answer is on its way; the agent starts over. @param {Stage} stage */
export async function timeOutAndStartOver(stage) {
  const { page, watch } = await stage.openShop();
  const product = page.url();
  await timeOutClicking(page);
  await page.goto(product);
  await page.click(BUY);
  return watch.view(PATIENCE_MS);
}

/** @param {import('./stage.mjs').Page} page */
async function timeOutClicking(page) {
  const outcome = await page.click(BUY, { timeout: IMPATIENCE_MS }).then(() => 'answered', (error) => error.name);
  if (outcome !== 'TimeoutError') throw new Error(`the click was to time out, but: ${outcome}`);
}

/** The page's script disables the button while it waits; Playwright waits for the button, and clicks again. @param {Stage} stage */
export async function clickAgainWhenEnabled(stage) {
  const { page, watch } = await stage.openShop('/product-fetch');
  await page.click(BUY);
  await watch.view(IMPATIENCE_MS);
  await page.click(BUY);
  await until('the second order is posted', PATIENCE_MS, () => watch.posts === 2);
  return watch.view(PATIENCE_MS);
}

/** @param {Stage} stage */
export async function twoTabs(stage) {
  const first = await stage.openShop();
  const second = await stage.newTab(first.page.context());
  await Promise.all([first.page.click(BUY), second.page.click(BUY)]);
  await first.watch.view(PATIENCE_MS);
  return second.watch.view(PATIENCE_MS);
}

/** The browser dies while the shop works; a new one goes on with the same step. @param {Stage} stage */
export async function newBrowser(stage) {
  const dying = await stage.launchAnother();
  const { page } = await stage.newTab(await stage.newContext(dying));
  await stage.shop.arm(stage.fault);
  await press(page);
  await until('the shop has the order', PATIENCE_MS, async () => (await stage.shop.state()).attempts === 1);
  await dying.close();

  const { page: again, watch } = await stage.newTab(await stage.newContext(stage.browser));
  await again.click(BUY);
  return watch.view(PATIENCE_MS);
}

/** The agent fills the form in anew and changes its mind about the quantity. @param {Stage} stage */
export async function driftedBody(stage) {
  const { page, watch } = await stage.openShop();
  const product = page.url();
  await page.click(BUY);
  await watch.view(PATIENCE_MS);
  await page.goto(product);
  await page.fill('#quantity', '2');
  await page.click(BUY);
  return watch.view(PATIENCE_MS);
}

/** One step that does two things. @param {Stage} stage */
export async function secondOperation(stage) {
  const { page, watch } = await stage.openShop();
  await page.click(BUY);
  await watch.view(PATIENCE_MS);
  await page.goto(`${stage.origin}/product?action=/order-gift-wrap`);
  await page.click(BUY);
  return watch.view(PATIENCE_MS);
}

/** Pages, pictures, streams, and two orders that somebody wants. @param {Stage} stage */
export async function browseAndOrderTwice(stage) {
  const { page, watch } = await stage.openShop();
  const product = page.url();
  const picture_width = await page.evaluate(() => document.querySelector('img')?.naturalWidth);
  if (picture_width !== 1) throw new Error('the picture did not load');
  await page.goto(`${stage.origin}/streams`);
  await page.waitForFunction(() => document.getElementById('echo')?.textContent === 'through and back');
  await page.waitForFunction(() => document.getElementById('event')?.textContent?.startsWith('1 2 3'));
  await page.goto(product);
  await page.click(BUY);
  await watch.view(PATIENCE_MS);
  await page.goto(product);
  await page.click(BUY);
  return watch.view(PATIENCE_MS);
}
