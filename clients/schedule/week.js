// @ts-check
/**
 * Owns what happens to working sessions while they are drawn: moved and resized, by pointer or by keys, in minutes of
 * the week. Pure: knows no page.
 *
 * @typedef {{starts: string, ends: string}} Pause
 * @typedef {{weekday: number, starts: string, ends: string, slot_minutes: number, buffer_minutes: number, capacity: number, mode: "in_person" | "online" | "both", breaks: Pause[]}} Session
 */

export const DAY = 24 * 60;
/** Minutes by which a drag or a key moves. */
export const STEP = 15;

/** @param {string} time "09:30" or "09:30:00" */
export const minutes = (time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5));

/** @param {number} minute */
export const clock = (minute) => {
  const of = ((minute % DAY) + DAY) % DAY;
  return `${String(Math.floor(of / 60)).padStart(2, "0")}:${String(of % 60).padStart(2, "0")}`;
};

/** How long from one time to the other, past midnight where it ends earlier. @param {Pause} one */
export const length = (one) => (minutes(one.ends) - minutes(one.starts) + DAY) % DAY || DAY;

/** How many slots a session has by the clock on the wall. @param {Session} one */
export function slotsOf(one) {
  const begin = minutes(one.starts);
  const cuts = [...one.breaks].map((pause) => ({ from: (minutes(pause.starts) - begin + DAY) % DAY, for: length(pause) })).sort((a, b) => a.from - b.from);
  let at = 0;
  let count = 0;
  const step = one.slot_minutes + one.buffer_minutes;
  for (const cut of [...cuts, { from: length(one), for: 0 }]) {
    count += Math.max(0, Math.floor((cut.from - at + one.buffer_minutes) / step));
    at = cut.from + cut.for;
  }
  return count;
}

/**
 * The session moved by so many days and minutes, its breaks with it; it stays in the week and the day it starts on.
 * @param {Session} one @param {number} days @param {number} by
 * @returns {Session}
 */
export function moved(one, days, by) {
  const weekday = Math.min(6, Math.max(0, one.weekday + days));
  const starts = Math.min(DAY - STEP, Math.max(0, minutes(one.starts) + by));
  const real = starts - minutes(one.starts);
  const shift = (/** @type {string} */ time) => clock(minutes(time) + real);
  return { ...one, weekday, starts: shift(one.starts), ends: shift(one.ends), breaks: one.breaks.map((pause) => ({ starts: shift(pause.starts), ends: shift(pause.ends) })) };
}

/**
 * The session ending so many minutes later; breaks that no longer lie in it are given up.
 * @param {Session} one @param {number} by
 * @returns {Session}
 */
export function resized(one, by) {
  const wanted = Math.min(DAY, Math.max(one.slot_minutes, length(one) + by));
  const begin = minutes(one.starts);
  const fits = (/** @type {Pause} */ pause) => ((minutes(pause.starts) - begin + DAY) % DAY) + length(pause) <= wanted;
  return { ...one, ends: clock(begin + wanted), breaks: one.breaks.filter(fits) };
}
