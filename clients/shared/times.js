// @ts-check
/** Owns moments and days by a clinic's wall clock, whatever the zone of the computer. Pure but for Intl. */

const DAY_MS = 86_400_000;

/**
 * What a clinic's clock on the wall shows at an instant, as a `datetime-local` field has it: 2026-11-21T09:30.
 * @param {number} at milliseconds
 * @param {string | undefined} zone
 */
export function wall(at, zone) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).formatToParts(at);
  /** @param {string} type */
  const part = (type) => parts.find((one) => one.type === type)?.value ?? "00";
  return `${part("year")}-${part("month")}-${part("day")}T${part("hour")}:${part("minute")}`;
}

/**
 * The instant at which that clock shows this; of an hour that comes twice, the first, and of one left out, the next.
 * @param {string} local
 * @param {string | undefined} zone
 */
export function instant(local, zone) {
  const wanted = Date.parse(`${local}Z`);
  if (Number.isNaN(wanted)) return null;
  // The zone's offset is that of the instant sought: seen from a day before and a day after, one of the two fits.
  for (const near of [wanted - DAY_MS, wanted + DAY_MS]) {
    const offset = Date.parse(`${wall(near, zone)}Z`) - Math.floor(near / 60_000) * 60_000;
    if (wall(wanted - offset, zone) === local.slice(0, 16)) return wanted - offset;
  }
  return wanted - (Date.parse(`${wall(wanted - DAY_MS, zone)}Z`) - Math.floor((wanted - DAY_MS) / 60_000) * 60_000);
}

/**
 * Midnight of the clinic's day, `days` before the one of `at`, on the clock on the wall.
 * @param {number} at
 * @param {number} days
 * @param {string | undefined} zone
 */
export function midnight(at, days, zone) {
  const today = Date.parse(`${wall(at, zone).slice(0, 10)}T00:00Z`);
  return `${new Date(today - days * DAY_MS).toISOString().slice(0, 10)}T00:00`;
}

/**
 * The clinic's day of an instant: 2026-11-21.
 * @param {number} at milliseconds
 * @param {string | undefined} zone
 */
export const dayOf = (at, zone) => wall(at, zone).slice(0, 10);

/**
 * A day so many days later.
 * @param {string} day
 * @param {number} days
 */
export const plusDays = (day, days) => new Date(Date.parse(`${day}T00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);

/**
 * The seven days of a day's week, Monday first.
 * @param {string} day
 */
export function weekOf(day) {
  const since = (new Date(`${day}T00:00Z`).getUTCDay() + 6) % 7;
  return Array.from({ length: 7 }, (_, nth) => plusDays(day, nth - since));
}
