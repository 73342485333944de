// @ts-check
/**
 * Owns every word and number a person reads: texts by key from i18n/<language>.json, plurals, times, durations.
 *
 * Invariant: the document's `lang` and `dir` follow the language in use; no other module sets them.
 */
import { signal } from "@preact/signals";

import { build } from "./build.js";
import { format } from "./messages.js";

/** @typedef {Record<string, string>} Catalog */
/** @typedef {import("./messages.js").Values} Values */

const RTL = new Set(["ar", "fa", "he", "ur", "ps", "sd", "ug", "yi", "dv"]);
const FALLBACK = "en";
/** The languages that have a file: asking for the others would be a vain request at every start. */
const WRITTEN = new Set(["en"]);

/** @type {Map<string, Catalog>} */
const catalogs = new Map();

export const language = signal(FALLBACK);
/** The institution's time zone; the viewer's own until it is known. */
export const zone = signal(/** @type {string | undefined} */ (undefined));

/**
 * Load a language's texts; false when there are none. Throws nothing.
 * @param {string} wanted
 * @returns {Promise<boolean>}
 */
export async function load(wanted) {
  if (catalogs.has(wanted)) return true;
  if (!WRITTEN.has(wanted)) return false;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      const reply = await fetch(`/clients/i18n/${wanted}.json?v=${encodeURIComponent(build)}`);
      if (reply.ok) {
        catalogs.set(wanted, await reply.json());
        return true;
      }
    } catch {
      // Tried again below: a page without words is worse than a late one.
    }
    await new Promise((done) => setTimeout(done, 500 * 2 ** attempt));
  }
  return false;
}

/**
 * Use the first of these languages that has texts (a region's file, else its language's), else English.
 * @param {readonly string[]} wanted
 */
export async function use(wanted) {
  const english = load(FALLBACK);
  let chosen = FALLBACK;
  for (const tag of wanted.flatMap((one) => [one, one.split("-")[0] ?? one])) {
    if (tag === FALLBACK || (await load(tag))) {
      chosen = tag;
      break;
    }
  }
  if (!(await english)) throw new Error("no texts");
  language.value = chosen;
  document.documentElement.lang = chosen;
  document.documentElement.dir = direction(chosen);
}

/** @param {string} tag */
export const direction = (tag) => (RTL.has(tag.split("-")[0] ?? "") ? "rtl" : "ltr");

/** @returns {string[]} the languages whose texts are here */
export const loaded = () => [...catalogs.keys()];

/**
 * @param {string} key
 * @param {Values} [values]
 * @param {string} [tag]
 * @returns {string}
 */
export function t(key, values = {}, tag = language.value) {
  const message = catalogs.get(tag)?.[key] ?? catalogs.get(FALLBACK)?.[key];
  return message === undefined ? key : format(message, values, tag);
}

/** @param {string} key */
export const has = (key) => catalogs.get(language.value)?.[key] !== undefined || catalogs.get(FALLBACK)?.[key] !== undefined;

/**
 * @param {number} value
 * @param {string} [tag]
 */
export const number = (value, tag = language.value) => new Intl.NumberFormat(tag).format(value);

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {number} at milliseconds
 * @param {Intl.DateTimeFormatOptions} options
 */
function dated(at, options) {
  // English without a country is the world's: 14:05 and "21 November", as clinics write.
  const tag = language.value === "en" ? "en-GB" : language.value;
  const key = `${tag} ${zone.value} ${JSON.stringify(options)}`;
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.DateTimeFormat(tag, { timeZone: zone.value, ...options })));
  return made.format(at);
}

/** @param {number} at */
export const clockTime = (at) => dated(at, { hour: "2-digit", minute: "2-digit" });
/** @param {number} at */
export const longDate = (at) => dated(at, { weekday: "long", day: "numeric", month: "long" });
/** To the second, for records. @param {number} at */
export const stamp = (at) => dated(at, { dateStyle: "medium", timeStyle: "medium" });

/**
 * A day, or the day of an instant: "14 March 1961". A birth is a day and no instant, so no zone may move it.
 * @param {string} iso
 */
export const fullDate = (iso) => dated(Date.parse(iso), { day: "numeric", month: "long", year: "numeric", ...(iso.length === 10 ? { timeZone: "UTC" } : {}) });

/**
 * A span in words, as coarse as a person would say it.
 * @param {number} seconds
 */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return t("time.seconds", { n: whole });
  if (whole < 3_600) return t("time.minutes", { n: Math.floor(whole / 60) });
  if (whole < 86_400) return t("time.hours", { n: Math.floor(whole / 3_600), m: Math.floor((whole % 3_600) / 60) });
  return t("time.days", { n: Math.floor(whole / 86_400) });
}

/**
 * A running timer, 4:05 or 1:04:05.
 * @param {number} seconds
 */
export function timer(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = new Intl.NumberFormat(language.value, { minimumIntegerDigits: 2 });
  const [h, m, s] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${number(h)}:${two.format(m)}:${two.format(s)}` : `${number(m)}:${two.format(s)}`;
}

/**
 * A wait as a range in minutes. Rounded to five minutes once that long, outwards, so that it promises nothing.
 * @param {number} p50 seconds
 * @param {number} p90 seconds
 * @param {string} [key] the key's family, "wait" or "wait.short"
 */
export function waitRange(p50, p90, key = "wait") {
  const low = p50 / 60;
  const high = p90 / 60;
  const from = low >= 10 ? Math.floor(low / 5) * 5 : Math.max(0, Math.floor(low));
  const to = high >= 10 ? Math.ceil(high / 5) * 5 : Math.max(1, Math.ceil(high));
  if (to <= 1) return t(`${key}.soon`);
  if (from < 1) return t(`${key}.under`, { to });
  return from === to ? t(`${key}.about`, { to }) : t(`${key}.range`, { from, to });
}
