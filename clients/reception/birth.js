// @ts-check
/**
 * Owns what somebody types for a birth: a year, or a date in the ways people write it. Pure.
 *
 * @typedef {{birth_year?: number, birth_date?: string}} Birth
 */

const FIRST_YEAR = 1880;

/** Digits of any script as 0-9. @param {string} text */
const plain = (text) => text.replace(/\p{Nd}/gu, (digit) => String(valueOf(digit)));

/** @param {string} digit */
function valueOf(digit) {
  // The ten digits of a script follow each other, so zero is as far below as there are digits below.
  const code = digit.codePointAt(0) ?? 0;
  let value = 0;
  while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value += 1;
  return value;
}

/**
 * The birth that a text means: {} for nothing, null for what is no birth. The day comes before the month, and a year of
 * two digits is the latest that has begun.
 * @param {string} text
 * @param {number} now milliseconds
 * @returns {Birth | null}
 */
export function birthIn(text, now) {
  const parts = plain(text).trim().split(/[\s./-]+/).filter(Boolean);
  const today = new Date(now);
  if (parts.length === 0) return {};
  if (!parts.every((part) => /^\d{1,8}$/.test(part))) return null;
  const [first = "", second = "", third = ""] = parts;
  if (parts.length === 1 && first.length === 8) return dated(first.slice(4), first.slice(2, 4), first.slice(0, 2), today);
  if (parts.length === 1) return first.length === 4 ? yearIn(Number(first), today) : null;
  if (parts.length !== 3) return null;
  return first.length === 4 ? dated(first, second, third, today) : dated(third, second, first, today);
}

/**
 * @param {number} year
 * @param {Date} today
 */
const yearIn = (year, today) => (year >= FIRST_YEAR && year <= today.getFullYear() ? { birth_year: year } : null);

/**
 * @param {string} written
 * @param {string} month
 * @param {string} day
 * @param {Date} today
 */
function dated(written, month, day, today) {
  if (written.length !== 4 && written.length !== 2) return null;
  const century = Math.floor(today.getFullYear() / 100) * 100;
  let year = Number(written);
  if (written.length === 2) year += century + year > today.getFullYear() ? century - 100 : century;
  const date = new Date(Date.UTC(year, Number(month) - 1, Number(day)));
  const real = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
  if (!real || year < FIRST_YEAR || date.getTime() > today.getTime() + 86_400_000) return null;
  return { birth_date: date.toISOString().slice(0, 10) };
}
