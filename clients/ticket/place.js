// @ts-check
/**
 * Owns where a ticket stands, read from its queue's public rows. Pure.
 *
 * @import {BoardTicket, QueueRow, Rows} from "../shared/wire.js"
 */

/** @param {Rows} rows */
const ticketsIn = (rows) => /** @type {BoardTicket[]} */ ([...rows].filter(([key]) => key.startsWith("t:")).map(([, row]) => row));

/**
 * How many wait before this ticket; null when it doesn't wait.
 * @param {Rows} rows
 * @param {number} ticket
 */
export function ahead(rows, ticket) {
  const own = /** @type {BoardTicket | undefined} */ (rows.get(`t:${ticket}`));
  if (own?.state !== "waiting") return null;
  return ticketsIn(rows).filter((row) => row.state === "waiting" && (row.rank < own.rank || (row.rank === own.rank && row.ticket < ticket))).length;
}

/**
 * The seconds this ticket still waits, 50th and 90th percentile, counted down from when they were estimated;
 * null when nothing is said. May be negative: then it takes longer than expected.
 * @param {QueueRow | undefined} queue
 * @param {number} before
 * @param {number} now milliseconds
 * @returns {[number, number] | null}
 */
export function waitLeft(queue, before, now) {
  const wait = queue?.show_waits && queue.state === "open" ? queue.waits[before] : undefined;
  if (!queue || !wait) return null;
  const gone = Math.max(0, (now - Date.parse(queue.waits_at)) / 1_000);
  return [wait[0] - gone, wait[1] - gone];
}

/**
 * Who is being called now, newest first.
 * @param {Rows} rows
 */
export const called = (rows) =>
  ticketsIn(rows)
    .filter((row) => row.state === "called" && row.call)
    .sort((a, b) => Date.parse(b.call?.at ?? "") - Date.parse(a.call?.at ?? ""));
