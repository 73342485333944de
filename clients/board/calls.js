// @ts-check
/**
 * Owns what a board lists and what it announces. Pure: no page, no clock, no socket.
 *
 * Invariants: the list holds one entry a ticket, its newest call, newest first; a call whose ticket is still called
 * is never pushed out by one that is over; every live call is announced once, in order, and after a gap those that
 * still matter are.
 *
 * @import {BoardTicket, Envelope, Rows} from "../shared/wire.js"
 * @typedef {{key: string, stream: string, ticket: number, token: string, desk: string, number: number, version: number, at: number}} Call
 *   `key`: one call of one ticket, the same over reloads; `at`: milliseconds
 */

/** A call found in a snapshot is announced if it is no older than this: the page was being reloaded when it came. */
export const RECENT_MS = 60_000;
/** How long a call that is over stays listed. */
export const PAST_MS = 20 * 60_000;

const CALLS = new Set(["patient-called", "patient-recalled"]);

/** @param {Envelope} event */
export const isCall = (event) => CALLS.has(event.type);

/**
 * @param {Envelope} event
 * @returns {Call}
 */
export function callOf(event) {
  const { ticket = 0, token = "", desk = "", number = 1 } = event.data;
  return {
    key: `${event.stream}/${ticket}/${number}`,
    stream: event.stream,
    ticket,
    token,
    desk,
    number,
    version: event.version,
    at: Date.parse(event.at),
  };
}

/**
 * The calls that a stream's rows still tell of.
 * @param {string} stream
 * @param {Rows} rows
 * @returns {Call[]}
 */
export function callsIn(stream, rows) {
  /** @type {Call[]} */
  const found = [];
  for (const row of /** @type {Iterable<BoardTicket>} */ (rows.values())) {
    if (!row.call || !row.desk || (row.state !== "called" && row.state !== "in_consultation")) continue;
    const { number, version, at } = row.call;
    const key = `${stream}/${row.ticket}/${number}`;
    found.push({ key, stream, ticket: row.ticket, token: row.token, desk: row.desk, number, version, at: Date.parse(at) });
  }
  return found.sort(byTime);
}

/**
 * @param {Call} a
 * @param {Call} b
 */
const byTime = (a, b) => a.at - b.at || (a.stream === b.stream ? a.version - b.version : 0);

/**
 * The list after these events.
 * @param {Call[]} calls
 * @param {Envelope[]} events
 * @returns {Call[]}
 */
export function after(calls, events) {
  let list = calls;
  for (const event of events) {
    if (isCall(event)) list = withCall(list, callOf(event));
    else if (event.type === "ticket-undone") list = list.filter((call) => !takenBack(call, event));
  }
  return list;
}

/**
 * Whether this event took that call back: its ticket is no longer called, or not as often.
 * @param {Call} call
 * @param {Envelope} event
 */
export function takenBack(call, event) {
  if (event.type !== "ticket-undone" || event.stream !== call.stream || event.data.ticket !== call.ticket) return false;
  const row = event.data.put?.[`t:${call.ticket}`];
  if (!row) return false;
  return row.state === "waiting" || !row.call || row.call.number < call.number;
}

/**
 * The list after a stream's state came as a whole.
 * @param {Call[]} calls
 * @param {string} stream
 * @param {Rows} rows
 * @returns {Call[]}
 */
export function afterSnapshot(calls, stream, rows) {
  return callsIn(stream, rows).reduce(withCall, calls).toSorted((a, b) => byTime(b, a));
}

/**
 * @param {Call[]} calls
 * @param {Call} call
 */
const withCall = (calls, call) => [call, ...calls.filter((other) => other.stream !== call.stream || other.ticket !== call.ticket)];

/**
 * The list without what is over and old, and no longer than `most` unless more are being called than that.
 * @param {Call[]} calls newest first
 * @param {(call: Call) => boolean} isCurrent
 * @param {number} now
 * @param {number} most
 */
export function trimmed(calls, isCurrent, now, most) {
  let places = most - calls.filter(isCurrent).length;
  return calls.filter((call) => isCurrent(call) || (now - call.at < PAST_MS && places-- > 0));
}

/**
 * What to announce of events that came live: every call, even if its patient has since been seen to.
 * After a gap: only the newest call of each ticket that is still being called.
 * @param {Envelope[]} events
 * @param {boolean} late
 * @param {Rows} rows the stream's rows after the events
 * @returns {Call[]}
 */
export function due(events, late, rows) {
  const calls = events.filter(isCall).map(callOf);
  if (!late) return calls;
  return calls.filter((call) => {
    const row = rows.get(`t:${call.ticket}`);
    return row?.state === "called" && row.call?.number === call.number;
  });
}

/**
 * What to announce of a state that came as a whole: who is being called, and was called just now.
 * @param {string} stream
 * @param {Rows} rows
 * @param {number} now
 * @returns {Call[]}
 */
export const dueInSnapshot = (stream, rows, now) =>
  callsIn(stream, rows).filter((call) => rows.get(`t:${call.ticket}`)?.state === "called" && now - call.at < RECENT_MS);
