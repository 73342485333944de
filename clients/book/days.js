// @ts-check
/**
 * Owns the arithmetic of free times: which day and part of the day they are in, which are free, which are nearest. Pure.
 *
 * @import {FreeTime, SlotMode} from "../shared/wire.js"
 * @typedef {object} Time  what can be booked in one go: one slot, or several that follow one another
 * @property {string} key
 * @property {number[]} slots
 * @property {number} doctor
 * @property {number} location
 * @property {number} start  milliseconds
 * @property {number} end
 * @property {SlotMode} mode
 * @property {number} left  seats, as the list of free times told them
 *
 * @typedef {object} News  what streams have told since
 * @property {ReadonlyMap<number, number>} left  seats left of a slot; 0 of one that is bookable no more
 * @property {ReadonlyMap<number, readonly number[]>} locks  until when each lock on a slot holds
 */

export const DAY_MS = 86_400_000;
export const PARTS = /** @type {const} */ (["morning", "afternoon", "evening"]);

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * The local day, "2026-11-21", and hour of an instant.
 * @param {number} at
 * @param {string | undefined} timeZone
 */
export function local(at, timeZone) {
  const key = timeZone ?? "";
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", hourCycle: "h23" })));
  const parts = Object.fromEntries(format.formatToParts(at).map((part) => [part.type, part.value]));
  return { day: `${parts.year}-${parts.month}-${parts.day}`, hour: Number(parts.hour) };
}

/** A day so many days after another. @param {string} day @param {number} by */
export const dayAfter = (day, by) => new Date(Date.parse(`${day}T12:00:00Z`) + by * DAY_MS).toISOString().slice(0, 10);

/** Noon of a day, to be written in UTC: no clock change moves it to another. @param {string} day */
export const noon = (day) => Date.parse(`${day}T12:00:00Z`);

/** @param {number} hour */
export const partOf = (hour) => (hour < 12 ? "morning" : hour < 17 ? "afternoon" : "evening");

/** @param {FreeTime} item @returns {Time} */
export const timeOf = (item) => ({
  key: item.slot_ids.join("-"),
  slots: item.slot_ids,
  doctor: item.doctor_id,
  location: item.location_id,
  start: Date.parse(item.starts_at),
  end: Date.parse(item.ends_at),
  mode: item.mode,
  left: item.left,
});

/**
 * How a time stands now: its seats that nobody has and nobody holds, and until when the first of the locks holds it
 * where they hold all that is left. What is one's own (`mine`) stands in nobody's way.
 * @param {Time} time
 * @param {News} news
 * @param {number} now
 * @param {readonly number[]} [mine]
 * @returns {{free: number, left: number, until: number}}
 */
export function standing(time, news, now, mine = []) {
  let free = Infinity;
  let left = Infinity;
  let until = 0;
  for (const slot of time.slots) {
    const seats = news.left.get(slot) ?? time.left;
    const locks = (news.locks.get(slot) ?? []).filter((one) => one > now);
    const others = Math.max(0, locks.length - (mine.includes(slot) ? 1 : 0));
    left = Math.min(left, seats);
    free = Math.min(free, seats - others);
    if (seats > 0 && seats - others <= 0) until = Math.max(until, Math.min(...locks));
  }
  return { free: Math.max(0, free), left, until };
}

/**
 * The free times nearest to a moment, soonest of equals first.
 * @param {readonly Time[]} times
 * @param {number} around
 * @param {(time: Time) => boolean} free
 * @param {number} [count]
 */
export const nearest = (times, around, free, count = 3) =>
  [...times]
    .sort((a, b) => Math.abs(a.start - around) - Math.abs(b.start - around) || a.start - b.start)
    .filter(free)
    .slice(0, count)
    .sort((a, b) => a.start - b.start);
