// @ts-check
/**
 * Owns what is shown of a step before the streams show it: each step is laid over their rows until they say the same,
 * and taken away if the server refuses. Pure.
 *
 * Invariant: rows are never changed here, so that taking a step away shows again exactly what the server said.
 *
 * @import {StaffTicket} from "../shared/wire.js"
 * @typedef {StaffTicket & {pending?: boolean}} Shown
 * @typedef {{id: number, row: StaffTicket, from: number, to: number, change: Partial<StaffTicket>, answer?: StaffTicket | null}} Move
 *   `row`: the ticket before the step; `to`: the queue it is in afterwards; `answer`: undefined until the server has
 *   answered, then the ticket as it says, or null where the ticket is gone
 * @typedef {Map<number, Shown[]>} Lists  every queue's tickets
 */

const OPEN = new Set(["waiting", "called", "in_consultation", "on_hold", "no_show"]);
const ACTIVE = new Set(["waiting", "called", "in_consultation", "on_hold"]);

/**
 * @param {StaffTicket} a
 * @param {StaffTicket} b
 */
export const byRank = (a, b) => a.rank - b.rank || a.ticket - b.ticket;

/**
 * The queues' tickets with these moves made.
 * @param {Lists} lists
 * @param {readonly Move[]} moves
 * @returns {Lists}
 */
export function withMoves(lists, moves) {
  const made = new Map(lists);
  for (const { row, from, to, change } of moves) {
    const here = made.get(from) ?? [];
    if (from === to) {
      made.set(from, here.map((one) => (one.ticket === row.ticket ? { ...one, ...change, pending: true } : one)).filter((one) => OPEN.has(one.state)));
      continue;
    }
    made.set(from, here.filter((one) => one.ticket !== row.ticket));
    const there = made.get(to) ?? [];
    // Once the stream shows the ticket with which the patient goes on, there must not be two.
    const arrived = there.some((one) => one.patient.id === row.patient.id && ACTIVE.has(one.state));
    if (!arrived) made.set(to, [...there, { ...row, ...change, pending: true }]);
  }
  return made;
}

/**
 * Whether the streams show what the server answered, so that nothing need be laid over them any more.
 * @param {Move} move
 * @param {Lists} lists the streams' own tickets
 */
export function settled({ row, from, to, answer }, lists) {
  if (answer === undefined) return false;
  const here = lists.get(from)?.find((one) => one.ticket === row.ticket);
  const left = !here || !ACTIVE.has(here.state);
  if (answer === null) return left;
  if (from !== to) return left && (lists.get(to)?.some((one) => one.ticket === answer.ticket) ?? false);
  return !here || (here.state === answer.state && here.rank === answer.rank && here.urgency === answer.urgency);
}

/**
 * A rank that puts a ticket at this index among others.
 * @param {readonly StaffTicket[]} others in order, without the ticket itself
 * @param {number} index
 */
export function rankAt(others, index) {
  const before = others[index - 1]?.rank;
  const behind = others[index]?.rank;
  if (before === undefined) return behind === undefined ? 0 : behind - 1;
  return behind === undefined ? before + 1 : (before + behind) / 2;
}

/**
 * Where a ticket that keeps its wait will stand in another queue, as well as the page can tell.
 * @param {readonly StaffTicket[]} others who wait there, in order
 * @param {StaffTicket} ticket
 * @param {string | undefined} mode the queue's order
 */
export function landing(others, ticket, mode) {
  /** @param {StaffTicket} one */
  const band = (one) => (one.urgency === "emergency" ? 0 : one.urgency === "urgent" && mode !== "fifo" ? 1 : 2);
  let index = others.length;
  while (index > 0) {
    const before = /** @type {StaffTicket} */ (others[index - 1]);
    const earlier = band(before) < band(ticket) || (band(before) === band(ticket) && Date.parse(before.joined_at) <= Date.parse(ticket.joined_at));
    if (earlier) break;
    index -= 1;
  }
  return index;
}
