// Plays the scenarios in Chromium, each without and with the proxy, and counts what the shop booked.
//
//   node run.mjs [--only TEXT] [--without-proxy] [--json]
//
// Exit status 0 only when every expectation held.

import { parseArgs } from 'node:util';
import { launch } from './lib/browser.mjs';
import { Installation } from './lib/proxy.mjs';
import { judge, judgeLedger } from './lib/judge.mjs';
import { Outside } from './lib/outside.mjs';
import { table } from './lib/report.mjs';
import { Shop } from './lib/shop.mjs';
import { Stage } from './lib/stage.mjs';
import { SCENARIOS } from './scenarios.mjs';

/**
 * @typedef {object} Column  one play of one scenario
 * @property {number} bookings in the ledger, once the shop was idle
 * @property {number} attempts orders that reached the shop
 * @property {number} posts orders that Playwright reported
 * @property {import('./lib/browser.mjs').View} view what the user saw last
 * @property {import('./lib/browser.mjs').View['kind'][]} views what the user saw after each submit
 * @property {string} ledger
 *
 * @typedef {object} Row
 * @property {string} scenario
 * @property {Column | null} without
 * @property {Column | null} with
 * @property {number} wall_ms
 * @property {string[]} failures
 */

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, 'without-proxy': { type: 'boolean' }, json: { type: 'boolean' } },
});
const SCENARIO_MS_MAX = 60_000;
const UNPROTECTED_PLAYS_MAX = 4;

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const scenarios = SCENARIOS.filter(({ name }) => name.includes(options.only ?? ''));
if (scenarios.length === 0) throw new Error(`no scenario's name contains ${JSON.stringify(options.only)}`);
const shop = await Shop.start();
const installation = options['without-proxy'] ? null : new Installation(shop.ca_file);
const spkis = installation ? [shop.spki, installation.spki] : [shop.spki];
const launchAnother = () => launch(spkis);
const browser = await launchAnother();

/** @type {Row[]} */
const rows = [];
for (const scenario of scenarios) {
  const row = await playRow(scenario);
  rows.push(row);
  if (!options.json) console.error(`${row.failures.length === 0 ? 'ok  ' : 'FAIL'} ${row.scenario}`);
}
await browser.close();
// An order that came late, after its scenario was judged, is a failure too.
for (const row of rows) row.failures.push(...judgeLedger(row));
await shop.stop();
installation?.remove();

const ok = rows.every(({ failures }) => failures.length === 0);
console.log(options.json ? JSON.stringify({ scenarios: rows, ok }, null, 2) : table(rows));
process.exitCode = ok ? 0 : 1;

/** @param {import('./scenarios.mjs').Scenario} scenario @returns {Promise<Row>} */
async function playRow(scenario) {
  const start = performance.now();
  /** @type {Row} */
  const row = { scenario: scenario.name, without: null, with: null, wall_ms: 0, failures: [] };
  try {
    if (scenario.without !== undefined) row.without = await playUnprotected(scenario);
    if (installation) row.with = await playProtected(scenario, installation);
    row.failures.push(...judge(scenario, row));
  } catch (error) {
    row.failures.push(String(error));
  }
  row.wall_ms = Math.round(performance.now() - start);
  return row;
}

/**
 * Shows what happens without the proxy. On a busy machine Chromium may take two quick clicks for one; that it does not always is what
 * has to be shown, so a play that booked less is played again. The column with the proxy has one play and no second chance.
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @returns {Promise<Column>}
 */
async function playUnprotected(scenario) {
  let column = await playColumn(scenario, null);
  for (let play = 1; play < UNPROTECTED_PLAYS_MAX && column.bookings < (scenario.without ?? 0); play += 1) {
    column = await playColumn(scenario, null);
  }
  return column;
}

/**
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @param {Installation} installation
 * @returns {Promise<Column>}
 */
async function playProtected(scenario, installation) {
  const outside = scenario.outside ? await Outside.start() : null;
  try {
    const proxy = await installation.startProxy({ crash_at: scenario.crash_at, outside });
    try {
      return await playColumn(scenario, proxy, outside);
    } catch (error) {
      throw new Error(`${error}\nthe proxy's last words: ${proxy.output}`, { cause: error });
    } finally {
      await proxy.kill();
    }
  } finally {
    outside?.stop();
  }
}

/**
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @param {import('./lib/proxy.mjs').ForwardProxy | null} proxy
 * @param {Outside | null} [outside]
 * @returns {Promise<Column>}
 */
async function playColumn(scenario, proxy, outside = null) {
  const ledger = await shop.reset();
  const { door = 'h1', fault = null, keyed = true } = scenario;
  const stage = new Stage({ browser, launchAnother, shop, proxy, outside, spkis, door, fault, keyed });
  try {
    const view = await bounded(scenario.play(stage));
    await shop.idle();
    const { attempts } = await shop.state();
    return { bookings: shop.bookings().length, attempts, posts: stage.posts, view, views: stage.views.map(({ kind }) => kind), ledger };
  } finally {
    await stage.close();
  }
}

/** @template T @param {Promise<T>} play @returns {Promise<T>} */
async function bounded(play) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the scenario took over ${SCENARIO_MS_MAX} ms`)), SCENARIO_MS_MAX);
  });
  try {
    return await Promise.race([play, /** @type {Promise<never>} */ (expired)]);
  } finally {
    clearTimeout(timer);
  }
}
