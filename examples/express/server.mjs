// The transfer of money as any Express service has it: nothing in here knows of keys or retries.
//
// examples/README.md says how to put it behind `onceward gateway`, and what to send it.

import express from 'express';

/** What this process has moved. */
const transfers = [];

const app = express();

app.post('/transfer', express.json(), (request, response) => {
  const { to, amount, currency } = request.body ?? {};
  if (![to, amount, currency].every((member) => typeof member === 'string')) {
    response.status(422).json({ error: 'to, amount and currency are texts' });
    return;
  }
  // The gateway says which holder of the key asks; a database that remembers the greatest one can refuse a late-comer.
  const epoch = request.get('onceward-epoch');
  const transfer = { transfer_id: `tr_${transfers.length + 1}`, to, amount, currency, epoch };
  transfers.push(transfer);
  response.status(201).location(`/transfers/${transfer.transfer_id}`).json(transfer);
});

app.get('/transfers', (_request, response) => {
  response.json({ count: transfers.length });
});

const server = app.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

// Takes no new connections, and ends with the last answer.
process.on('SIGTERM', () => {
  server.close();
  server.closeIdleConnections();
});
