// Compares what happened with what must happen.

import { readLedger } from '../shop/ledger.mjs';

/**
 * @param {import('../scenarios.mjs').Scenario} scenario
 * @param {import('../run.mjs').Row} row
 * @returns {string[]} what is wrong
 */
export function judge(scenario, row) {
  const failures = [];
  if (row.without && row.without.bookings !== scenario.without) {
    failures.push(`without the proxy: ${row.without.bookings} bookings instead of ${scenario.without}`);
  }
  if (!row.with) return failures;

  const { bookings, view, views, ledger } = row.with;
  if (!scenario.with.some((ending) => ending.bookings === bookings && ending.saw.includes(view.kind))) {
    const wanted = scenario.with.map((ending) => `${ending.bookings} with ${ending.saw.join(' or ')}`).join(', or ');
    failures.push(`with the proxy: ${bookings} bookings with ${view.kind} (status ${view.status}: ${view.text}) instead of ${wanted}`);
  }
  if (!scenario.proxy_dies && views.some((kind) => kind === 'browser error' || kind === 'broken page')) {
    failures.push(`with the proxy: not every order was answered by a whole page: ${views.join(', ')}`);
  }
  if (view.order !== undefined && view.order > bookings) failures.push(`the user saw order ${view.order} of ${bookings}`);
  const leaked = readLedger(ledger).flatMap((booking) => booking.leaked);
  if (leaked.length > 0) failures.push(`the shop received ${leaked.join(', ')}`);
  return failures;
}

/**
 * Counts again, at the end of all.
 * @param {import('../run.mjs').Row} row
 * @returns {string[]}
 */
export function judgeLedger(row) {
  return [row.without, row.with].flatMap((column) => {
    const late = column ? readLedger(column.ledger).length - column.bookings : 0;
    return late === 0 ? [] : [`${late} bookings came late`];
  });
}
