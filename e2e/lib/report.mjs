// The table that a person reads.

/** `posts` is what Playwright reports, `sent` what reached the shop: the difference is what Chromium re-sent in silence. */
const HEADS = ['scenario', 'without: posts', 'sent', 'booked', 'saw', 'with: posts', 'sent', 'booked', 'saw', 'wall s'];

/** @param {import('../run.mjs').Row[]} rows */
export function table(rows) {
  const cells = [HEADS, ...rows.map(({ scenario, without, with: guarded, wall_ms }) => [
    scenario,
    ...figures(without),
    ...figures(guarded),
    (wall_ms / 1_000).toFixed(1),
  ])];
  const widths = HEADS.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd());
  const failures = rows.flatMap(({ scenario, failures }) => failures.map((failure) => `FAIL ${scenario}: ${failure}`));
  const total_s = rows.reduce((sum, { wall_ms }) => sum + wall_ms, 0) / 1_000;
  return [...lines, '', ...failures, `${rows.length} scenarios, ${failures.length} failures, ${total_s.toFixed(0)} s`].join('\n');
}

/** @param {import('../run.mjs').Column | null} column */
function figures(column) {
  if (!column) return ['-', '-', '-', '-'];
  const { posts, attempts, bookings, view } = column;
  return [`${posts}`, `${attempts}`, `${bookings}`, view.order === undefined ? view.kind : `${view.kind} ${view.order}`];
}
