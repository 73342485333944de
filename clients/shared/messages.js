// @ts-check
/**
 * Owns the form of the texts, a small part of ICU's: `{name}` and `{n, plural, one {# person} other {# people}}`.
 * Pure but for Intl, which knows each language's plurals and digits.
 *
 * Invariant: a value that is put into a sentence never turns what stands around it: "A017" and "Room 3" read the same
 * in a sentence that runs from right to left, and an Arabic name in one that runs from left to right.
 *
 * @typedef {Record<string, string | number>} Values
 */

const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur", "ps", "sd", "ug", "yi", "dv", "ckb"]);
const LETTERS_FROM_THE_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const TURNING_MARKS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const [ISOLATE, END] = ["\u2068", "\u2069"];

/** @param {string} tag */
export const direction = (tag) => (RIGHT_TO_LEFT.has(tag.split("-")[0] ?? "") ? "rtl" : "ltr");

/**
 * A text without the marks that keep its parts apart: for a voice, which reads no marks.
 * @param {string} text
 */
export const bare = (text) => text.replace(TURNING_MARKS, "");

/**
 * @param {string} value
 * @param {string} tag
 */
const apart = (value, tag) =>
  direction(tag) === "rtl" || LETTERS_FROM_THE_RIGHT.test(value) || value !== bare(value) ? ISOLATE + bare(value) + END : value;

/**
 * Fill a message.
 * @param {string} message
 * @param {Values} values
 * @param {string} tag
 * @returns {string}
 */
export function format(message, values, tag) {
  let out = "";
  let at = 0;
  while (at < message.length) {
    const open = message.indexOf("{", at);
    if (open < 0) return out + message.slice(at);
    out += message.slice(at, open);
    const close = closing(message, open);
    out += fill(message.slice(open + 1, close), values, tag);
    at = close + 1;
  }
  return out;
}

/**
 * @param {string} message
 * @param {number} open
 */
function closing(message, open) {
  let depth = 0;
  for (let at = open; at < message.length; at += 1) {
    if (message[at] === "{") depth += 1;
    else if (message[at] === "}" && (depth -= 1) === 0) return at;
  }
  return message.length;
}

/**
 * @param {string} inside
 * @param {Values} values
 * @param {string} tag
 */
function fill(inside, values, tag) {
  const plural = /^\s*(\w+)\s*,\s*plural\s*,\s*/.exec(inside);
  if (!plural) {
    const value = values[inside.trim()];
    return value === undefined ? `{${inside}}` : typeof value === "number" ? written(value, tag) : apart(value, tag);
  }
  const count = Number(values[plural[1] ?? ""] ?? 0);
  const cases = casesOf(inside.slice(plural[0].length));
  const chosen = cases[`=${count}`] ?? cases[new Intl.PluralRules(tag).select(count)] ?? cases.other ?? "";
  return format(chosen.replaceAll("#", written(count, tag)), values, tag);
}

/** @param {string} text */
function casesOf(text) {
  /** @type {Record<string, string>} */
  const cases = {};
  let at = 0;
  for (;;) {
    const open = text.indexOf("{", at);
    if (open < 0) return cases;
    const close = closing(text, open);
    cases[text.slice(at, open).trim()] = text.slice(open + 1, close);
    at = close + 1;
  }
}

/**
 * @param {number} value
 * @param {string} tag
 */
const written = (value, tag) => new Intl.NumberFormat(tag).format(value);
