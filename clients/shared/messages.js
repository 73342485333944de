// @ts-check
/**
 * Owns the form of the texts, a small part of ICU's: `{name}` and `{n, plural, one {# person} other {# people}}`.
 * Pure but for Intl, which knows each language's plurals and digits.
 *
 * @typedef {Record<string, string | number>} Values
 */

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
    return value === undefined ? `{${inside}}` : typeof value === "number" ? written(value, tag) : value;
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
