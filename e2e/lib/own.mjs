// Chromium's own traffic beside an order: what its services ask passes as it is, nothing of it is remembered, and the order happens once.
//
// Debian's Chromium 156 is heard asking its updater (POST, over TLS and, when that failed, without), accounts (POST), optimisation hints
// (POST), autofill, clock and dictionaries (GET). Autofill posts only for a person who has an address or a card stored.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PRIVATE_HEADERS } from '../shop/site.mjs';
import { doubleClickIn } from './agent.mjs';
import { launchTalkative } from './browser.mjs';
import { readExchanges } from './netlog.mjs';
import { ANSWER_NUMBER, FORM_URL, endpointOf } from './outside.mjs';
import { until } from './wait.mjs';

/**
 * @typedef {import('./stage.mjs').Stage} Stage
 * @typedef {import('./outside.mjs').Outside} Outside
 * @typedef {import('./proxy.mjs').ForwardProxy} ForwardProxy
 * @typedef {import('./netlog.mjs').Exchange} Exchange
 */

/** All of it takes one to three seconds. */
const PATIENCE_MS = 10_000;
const KEYED = 'onceward_requests_total';
const EXECUTED = 'onceward_requests_total{outcome="executed"}';
/** What proxies are known to add, beside what must never reach a site. */
const PROXY_HEADERS = [...PRIVATE_HEADERS, 'via', 'forwarded', 'x-forwarded-for'];
/** Processes of a browser that has just ended may still be putting files into its profile. */
const REMOVAL_TRIES_MAX = 5;
const UPDATER = 'https://update.googleapis.com/';
const AUTOFILL = 'https://content-autofill.googleapis.com/';

/** @param {Stage} stage */
export async function browserTalks(stage) {
  const { proxy, outside } = stage;
  if (!proxy || !outside) throw new Error('there is no proxy to pass, or nobody to talk to');
  const dir = mkdtempSync(join(tmpdir(), 'onceward-own-'));
  try {
    return await talkAndOrder({ stage, proxy, outside, dir });
  } finally {
    rmSync(dir, { recursive: true, maxRetries: REMOVAL_TRIES_MAX });
  }
}

/** @param {{ stage: Stage, proxy: ForwardProxy, outside: Outside, dir: string }} parts */
async function talkAndOrder({ stage, proxy, outside, dir }) {
  const net_log_file = join(dir, 'netlog.json');
  const at_start = { keyed: await proxy.metric(KEYED), executed: await proxy.metric(EXECUTED) };
  const context = await launchTalkative({ profile_dir: join(dir, 'profile'), net_log_file, spkis: stage.spkis, proxy_url: proxy.url });
  try {
    await provoke(context, outside);
    await until('each own write counts as unprotected, and nothing else does', PATIENCE_MS, async () => (
      await proxy.metric('onceward_unprotected_writes_total') === outside.ownWrites.length
    ));
    assert.deepEqual(proxy.effects(), []);
    assert.equal(await proxy.metric(KEYED), at_start.keyed);
    const passed = outside.exchanges.slice();

    const tab = await stage.newTab(context);
    await stage.shop.arm(stage.fault);
    const view = await doubleClickIn(tab);
    assert.deepEqual(proxy.effects(), [{ effect: `POST ${stage.origin}/order`, state: 'done' }]);
    await until('the order counts as one effect', PATIENCE_MS, async () => await proxy.metric(EXECUTED) === at_start.executed + 1);

    await context.close();
    expectUntouched(passed, readExchanges(net_log_file));
    expectNothingAdded(outside.exchanges);
    return view;
  } finally {
    await context.close();
  }
}

/**
 * Shows Chromium a form, twice, and waits until its services have asked.
 * @param {import('playwright-core').BrowserContext} context
 * @param {Outside} outside
 */
async function provoke(context, outside) {
  const page = await context.newPage();
  await page.goto(FORM_URL);
  await heard('updates of its components are asked for', outside, () => outside.ownWrites.some(({ request }) => asksForComponents(request)));
  await heard('autofill asks about the form', outside, () => outside.own.some(({ request }) => request.url.startsWith(AUTOFILL)));
  await page.reload();
  await heard('a write is repeated as it was', outside, () => repeated(outside.ownWrites).length > 0);
}

/** @param {string} what @param {Outside} outside @param {() => boolean} probe */
async function heard(what, outside, probe) {
  await until(what, PATIENCE_MS, probe).catch((error) => {
    const asked = new Set(outside.own.map(({ request }) => `${request.method} ${endpointOf(request.url)}`));
    throw new Error(`${error.message}; Chromium asked for: ${[...asked].join(', ') || 'nothing'}`, { cause: error });
  });
}

/** Chromium has some twenty components; an extension is asked for alone. @param {import('./netlog.mjs').Request} request */
function asksForComponents({ method, url, fields, body }) {
  if (method !== 'POST' || !url.startsWith(UPDATER) || !fields.includes('content-type: application/json')) return false;
  return JSON.parse(Buffer.from(body, 'base64').toString()).request.apps.length > 1;
}

/** Those that are the same as an earlier one. @param {Exchange[]} writes */
function repeated(writes) {
  const texts = writes.map(({ request }) => JSON.stringify(request));
  return writes.filter((_, index) => texts.indexOf(texts[index]) < index);
}

/**
 * Chromium's log of each exchange and what was seen outside agree to the byte.
 * @param {Exchange[]} outside
 * @param {Exchange[]} logged
 */
function expectUntouched(outside, logged) {
  const byNumber = new Map(logged.map((exchange) => [numberOf(exchange), exchange]));
  // The log of an exchange without TLS, and so without HTTP/2, has no bodies apart.
  const secure = outside.filter(({ request }) => request.url.startsWith('https:'));
  assert.deepEqual(secure.map((exchange) => byNumber.get(numberOf(exchange))), secure);
}

/** @param {Exchange} exchange */
function numberOf({ answer }) {
  return answer.fields.find((field) => field.startsWith(`${ANSWER_NUMBER}: `));
}

/** @param {Exchange[]} exchanges */
function expectNothingAdded(exchanges) {
  const names = exchanges.flatMap(({ request }) => request.fields.map((field) => field.slice(0, field.indexOf(':'))));
  assert.deepEqual(names.filter((name) => PROXY_HEADERS.includes(name)), []);
}
