// What the shop shows. A result page carries `data-order`, which is how a scenario knows that the user saw an order.

const page = (/** @type {string} */ title, /** @type {string} */ body) =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>${title}</title></head><body>${body}</body></html>`;

/** A native form: the browser posts and navigates. @param {string} action */
export const formPage = (action) => page('Teapot', `
  <h1>Teapot</h1><img src="/pixel.png" alt="">
  <form method="post" action="${action}">
    <input type="hidden" name="item" value="teapot">
    <input id="quantity" name="quantity" value="1">
    <button id="buy">Place order</button>
  </form>`);

/** A script that posts, and disables its button while it waits. @param {string} action */
export const fetchPage = (action) => page('Teapot', `
  <h1>Teapot</h1><button id="buy">Place order</button><p id="result"></p>
  <script>
    const button = document.getElementById('buy');
    const result = document.getElementById('result');
    button.onclick = async () => {
      button.disabled = true;
      result.textContent = '';
      delete result.dataset.order;
      try {
        const response = await fetch('${action}', {
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
          body: 'item=teapot&quantity=1',
        });
        const text = await response.text();
        if (response.ok) result.dataset.order = JSON.parse(text).order;
        result.textContent = text;
      } catch (error) {
        result.textContent = String(error);
      } finally {
        button.disabled = false;
      }
    };
  </script>`);

/** @param {number} order */
export const orderPage = (order) => page(`Order ${order}`, `<h1 data-order="${order}">Order ${order} is placed</h1>`);

/** @param {number} booked */
export const ordersPage = (booked) => page('Your orders', `
  <h1>Your orders</h1><ol>${Array.from({ length: booked }, (_, index) => `<li>Order ${index + 1}</li>`).join('')}</ol>`);

/** @param {number} status */
export const errorPage = (status) => page(`Error ${status}`, `<h1>Error ${status}</h1>`);

/** Opens a WebSocket and an event stream, and writes what they say. */
export const streamsPage = () => page('Streams', `
  <p id="echo"></p><p id="event"></p>
  <script>
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/echo');
    socket.onopen = () => socket.send('through and back');
    socket.onmessage = (event) => { document.getElementById('echo').textContent = event.data; };
    const events = new EventSource('/events');
    events.onmessage = (event) => { document.getElementById('event').textContent += event.data + ' '; };
  </script>`);

/** A grey pixel. */
export const PIXEL_PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNgYAAAAAMAASsJTYQAAAAASUVORK5CYII=', 'base64');
