// The ways in which the shop can fail an order. One fault is armed at a time, for the next `times` orders.

/**
 * @typedef {object} Fault
 * @property {FaultKind} kind
 * @property {number} [times] how many orders it strikes; 1 unless told
 * @property {number} [delay_ms] for the delays
 * @property {number} [status] for `status-after-commit`
 *
 * @typedef {'none' | CONNECTION_FAULTS[number] | METER_FAULTS[number] | ORDER_FAULTS[number]} FaultKind
 */

/** Strike a connection before its TLS handshake. @type {readonly ['cut-handshake']} */
export const CONNECTION_FAULTS = ['cut-handshake'];

/** Strike the bytes of an HTTP/1.1 order, before the shop has read it whole. Nothing is booked. @type {readonly ['cut-request-head', 'cut-request-body', 'close-on-reuse']} */
export const METER_FAULTS = ['cut-request-head', 'cut-request-body', 'close-on-reuse'];

/** Strike an order that has arrived. Only `refused-stream` and `goaway-below` (HTTP/2) prevent its booking. */
export const ORDER_FAULTS = /** @type {const} */ ([
  'delay-before-commit', 'delay-after-commit',
  'cut-after-commit', 'cut-response-length', 'cut-response-chunked', 'status-after-commit',
  'refused-stream', 'goaway-below', 'goaway-covering', 'reset-after-commit',
]);

/** @type {Fault} */
export const NO_FAULT = { kind: 'none' };

/** The fault that is armed, and how often it still strikes. */
export class ArmedFault {
  #fault = NO_FAULT;
  #left = 0;

  /** @param {Fault | null} fault */
  arm(fault) {
    this.#fault = fault ?? NO_FAULT;
    this.#left = fault ? fault.times ?? 1 : 0;
  }

  /**
   * Takes one strike of the armed fault if it is of one of these kinds.
   * @param {readonly FaultKind[]} kinds
   * @returns {Fault}
   */
  take(kinds) {
    if (this.#left === 0 || !kinds.includes(this.#fault.kind)) return NO_FAULT;
    this.#left -= 1;
    return this.#fault;
  }
}
