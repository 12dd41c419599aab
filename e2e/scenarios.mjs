// What is played, and what must come of it. Expectations without the proxy were measured on Chromium 156; they show that each danger is real.

import * as agent from './lib/agent.mjs';
import * as kills from './lib/kills.mjs';
import { browserTalks } from './lib/own.mjs';

/**
 * @typedef {object} Ending
 * @property {number} bookings in the shop's ledger
 * @property {import('./lib/browser.mjs').View['kind'][]} saw any of these, last
 *
 * @typedef {object} Scenario
 * @property {string} name
 * @property {import('./shop/shop.mjs').Door} [door] `h1` unless told
 * @property {import('./shop/faults.mjs').Fault} [fault]
 * @property {import('./lib/proxy.mjs').CrashPoint} [crash_at]
 * @property {true} [proxy_dies] so that the browser may see its own error page
 * @property {false} [keyed] the agent stamps no key
 * @property {true} [outside] the proxy reaches every host but the shop's through a proxy that answers in their place
 * @property {(stage: import('./lib/stage.mjs').Stage) => Promise<import('./lib/browser.mjs').View>} play
 * @property {number} [without] bookings without the proxy; absent where there is nothing to compare
 * @property {Ending[]} with any of these endings with the proxy
 */

/** One order, and its number on the screen. @type {Ending[]} */
const ORDERED = [{ bookings: 1, saw: ['order', 'replay'] }];
/** One order, and the screen says that nobody knows. @type {Ending[]} */
const BOOKED_IN_DOUBT = [{ bookings: 1, saw: ['doubt'] }];
/** No order; the proxy cannot know that, and says so. @type {Ending[]} */
const NOT_BOOKED_IN_DOUBT = [{ bookings: 0, saw: ['doubt'] }];
/** One order, and its number comes from the record. @type {Ending[]} */
const REPLAYED = [{ bookings: 1, saw: ['replay'] }];
/** Two, for two were wanted. @type {Ending[]} */
const ORDERED_TWICE = [{ bookings: 2, saw: ['order'] }];

/** @type {import('./shop/faults.mjs').Fault} */
const SLOW_COMMIT = { kind: 'delay-before-commit', delay_ms: 3_000 };
/** @type {import('./shop/faults.mjs').Fault} */
const BRISK_COMMIT = { kind: 'delay-before-commit', delay_ms: 500 };

/** @type {Scenario[]} */
const USERS_AND_AGENTS = [
  // covers: B4
  { name: 'double click on a form', fault: BRISK_COMMIT, play: agent.doubleClick, without: 2, with: ORDERED },
  { name: 'double click on a form, answered 303 with cookies', fault: BRISK_COMMIT, play: agent.doubleClickForRedirect, without: 2, with: ORDERED },
  { name: 'raw double click', fault: BRISK_COMMIT, play: agent.rawDoubleClick, without: 2, with: ORDERED },
  { name: 'reload of the result page', play: agent.reloadResult, without: 2, with: REPLAYED },
  { name: 'click times out, mouse clicks again', fault: SLOW_COMMIT, play: agent.timeOutAndClickAgain, without: 2, with: ORDERED },
  { name: 'click times out, agent starts over', fault: SLOW_COMMIT, play: agent.timeOutAndStartOver, without: 2, with: ORDERED },
  { name: 'click times out, agent starts over, HTTP/2', door: 'h2', fault: SLOW_COMMIT, play: agent.timeOutAndStartOver, without: 2, with: ORDERED },
  { name: 'click times out, agent starts over, no TLS', door: 'plain', fault: SLOW_COMMIT, play: agent.timeOutAndStartOver, without: 2, with: ORDERED },
  { name: 'button disabled during fetch, clicked again', fault: SLOW_COMMIT, play: agent.clickAgainWhenEnabled, without: 2, with: REPLAYED },
  { name: 'two tabs', fault: BRISK_COMMIT, play: agent.twoTabs, without: 2, with: ORDERED },
  { name: 'new browser on the same session', fault: BRISK_COMMIT, play: agent.newBrowser, without: 2, with: ORDERED },
];

/** @type {Scenario[]} */
const UPSTREAM_CUTS = [
  { name: 'cut before the TLS handshake', fault: { kind: 'cut-handshake' }, play: agent.clickUntilOrder, without: 1, with: ORDERED },
  { name: 'cut within the request head', fault: { kind: 'cut-request-head' }, play: agent.clickUntilOrder, without: 1, with: NOT_BOOKED_IN_DOUBT },
  { name: 'cut within the request body', fault: { kind: 'cut-request-body' }, play: agent.clickUntilOrder, without: 1, with: NOT_BOOKED_IN_DOUBT },
  { name: 'kept-alive connection closed on reuse', fault: { kind: 'close-on-reuse' }, play: agent.clickUntilOrder, without: 1, with: ORDERED },
  { name: 'cut after commit, before headers', fault: { kind: 'cut-after-commit' }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
  { name: 'cut after commit, three times', fault: { kind: 'cut-after-commit', times: 3 }, play: agent.clickUntilOrder, without: 4, with: BOOKED_IN_DOUBT },
  { name: 'cut after commit over HTTP/2', door: 'h2', fault: { kind: 'cut-after-commit' }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
  { name: 'cut within a body of known length', fault: { kind: 'cut-response-length' }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
  { name: 'cut within a chunked body', fault: { kind: 'cut-response-chunked' }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
];

/** @type {Scenario[]} */
const STATUSES = [408, 421, 502, 504].map((status) => (
  { name: `${status} after commit`, fault: { kind: 'status-after-commit', status }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT }
));

/** @type {Scenario[]} */
const HTTP2 = [
  { name: '421 after commit over HTTP/2', door: 'h2', fault: { kind: 'status-after-commit', status: 421 }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
  { name: 'REFUSED_STREAM', door: 'h2', fault: { kind: 'refused-stream' }, play: agent.clickUntilOrder, without: 1, with: ORDERED },
  { name: 'GOAWAY below the stream', door: 'h2', fault: { kind: 'goaway-below' }, play: agent.clickUntilOrder, without: 1, with: ORDERED },
  { name: 'GOAWAY covering the stream, after commit', door: 'h2', fault: { kind: 'goaway-covering' }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
  { name: 'RST_STREAM after commit', door: 'h2', fault: { kind: 'reset-after-commit' }, play: agent.clickUntilOrder, without: 2, with: BOOKED_IN_DOUBT },
];

/** @type {Scenario[]} */
const DYING_PROXY = [
  { name: 'proxy crashes before the claim', crash_at: 'before-claim', play: kills.crash, with: ORDERED },
  { name: 'proxy crashes after the claim', crash_at: 'after-claim', play: kills.crash, with: NOT_BOOKED_IN_DOUBT },
  { name: 'proxy crashes after the commit', crash_at: 'after-commit', play: kills.crash, with: BOOKED_IN_DOUBT },
  { name: 'proxy crashes after the answer is stored', crash_at: 'after-store', play: kills.crash, with: REPLAYED },
  { name: 'SIGKILL while the shop works', fault: { kind: 'delay-before-commit', delay_ms: 1_500 }, play: kills.killBeforeCommit, with: BOOKED_IN_DOUBT },
  { name: 'SIGKILL after the commit, before the answer', fault: { kind: 'delay-after-commit', delay_ms: 1_500 }, play: kills.killAfterCommit, with: BOOKED_IN_DOUBT },
  { name: 'SIGKILL after the answer', play: kills.killAfterAnswer, with: REPLAYED },
];
for (const scenario of DYING_PROXY) scenario.proxy_dies = true;

/** @type {Scenario[]} */
const MEANING_OF_A_KEY = [
  { name: 'drifted body under one key', play: agent.driftedBody, without: 2, with: REPLAYED },
  { name: 'second operation under one key', play: agent.secondOperation, without: 2, with: ORDERED_TWICE },
  { name: 'unkeyed traffic passes', keyed: false, play: agent.browseAndOrderTwice, without: 2, with: ORDERED_TWICE },
  { name: 'unkeyed traffic passes, HTTP/2 where offered', keyed: false, door: 'any', play: agent.browseAndOrderTwice, without: 2, with: ORDERED_TWICE },
];

/** @type {Scenario[]} */
const OWN_TRAFFIC = [
  // covers: K3, B6
  { name: "Chromium's own traffic passes beside an order", outside: true, fault: BRISK_COMMIT, play: browserTalks, with: ORDERED },
];

export const SCENARIOS = [...USERS_AND_AGENTS, ...UPSTREAM_CUTS, ...STATUSES, ...HTTP2, ...DYING_PROXY, ...MEANING_OF_A_KEY, ...OWN_TRAFFIC];
