// @ts-check
/**
 * Owns every word and number a person reads: texts by key from i18n/<language>.json, plurals, times, durations.
 *
 * Invariants: the document's `lang` and `dir` follow the language in use; no other module sets them. A new language is
 * one more file beside en.json: nothing here, and no page, names the languages.
 */
import { signal } from "@preact/signals";

import { direction, format } from "./messages.js";

/** @typedef {Record<string, string>} Catalog */
/** @typedef {import("./messages.js").Values} Values */

const FALLBACK = "en";

/** Where each language's texts lie, by the hash of their content: the page's import map lists every file there is. */
const files = texts();

/** @type {Map<string, Catalog>} */
const catalogs = new Map();

/** The language in use: the name of its file. */
export const language = signal(FALLBACK);
/** The same with its region, where one was asked for: digits and times differ between Cairo and Dubai. */
export const locale = signal("en-GB");
/** The institution's time zone; the viewer's own until it is known. */
export const zone = signal(/** @type {string | undefined} */ (undefined));

/** @returns {Map<string, string>} */
function texts() {
  const map = JSON.parse(document.querySelector('script[type="importmap"]')?.textContent || "{}");
  const found = new Map();
  for (const [path, address] of Object.entries(map.imports ?? {})) {
    const name = /^\/clients\/i18n\/([\w-]+)\.json$/.exec(path)?.[1];
    if (name) found.set(name, address);
  }
  return found;
}

/** @returns {string[]} the languages that have texts */
export const written = () => [...files.keys()];

/**
 * The file that serves a language: its region's, else its own; undefined when there is none.
 * @param {string} tag
 */
export const fileFor = (tag) => [tag, tag.split("-")[0] ?? tag].find((name) => files.has(name));

/**
 * Load a language's texts; false when there are none, or none came. Throws nothing.
 * @param {string} tag
 * @returns {Promise<boolean>}
 */
export async function load(tag) {
  const name = fileFor(tag);
  if (!name) return false;
  for (let attempt = 0; attempt < 3 && !catalogs.has(name); attempt += 1) {
    if (attempt > 0) await new Promise((done) => setTimeout(done, 250 * 2 ** attempt));
    try {
      const reply = await fetch(/** @type {string} */ (files.get(name)));
      if (reply.ok) catalogs.set(name, await reply.json());
    } catch {
      // Tried again above: a page without words is worse than a late one.
    }
  }
  return catalogs.has(name);
}

/**
 * Use the first of these languages that has texts, else English.
 * @param {readonly string[]} wanted
 */
export async function use(wanted) {
  let chosen = FALLBACK;
  for (const tag of [...wanted, FALLBACK]) {
    chosen = tag;
    if (await load(tag)) break;
  }
  if (!loaded(chosen)) throw new Error("no texts");
  language.value = fileFor(chosen) ?? FALLBACK;
  locale.value = regional(chosen);
  document.documentElement.lang = language.value;
  document.documentElement.dir = direction(language.value);
}

/**
 * A tag that Intl takes. English without a country is the world's: 14:05 and "21 November", as clinics write.
 * @param {string} tag
 */
function regional(tag) {
  if (tag === "en") return "en-GB";
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? FALLBACK;
  } catch {
    return fileFor(tag) ?? FALLBACK;
  }
}

/** Whether a language's texts are here. @param {string} tag */
export const loaded = (tag) => catalogs.has(fileFor(tag) ?? "");

/** Moves once English is here for a language that lacks a text. */
const arrived = signal(0);
/** @type {Promise<unknown> | null} */
let coming = null;

/** A language that says all is all that a page loads: English comes for the first text that one lacks. */
function lacking() {
  void arrived.value;
  coming ??= load(FALLBACK).then((here) => here && (arrived.value += 1));
}

/**
 * @param {string} key
 * @param {Values} [values]
 * @param {string} [tag]
 * @returns {string}
 */
export function t(key, values = {}, tag = locale.value) {
  const own = catalogs.get(fileFor(tag) ?? FALLBACK)?.[key];
  if (own === undefined && fileFor(tag) !== FALLBACK) lacking();
  const message = own ?? catalogs.get(FALLBACK)?.[key];
  return message === undefined ? key : format(counted(message, tag), values, own === undefined ? FALLBACK : tag);
}

const ARABIC_INDIC = /[\u0660-\u0669]/;
const EACH = new RegExp(ARABIC_INDIC, "g");

/** A text in the numerals of where it is read: one that counts as Cairo does is also for Dubai. @param {string} message @param {string} tag */
function counted(message, tag) {
  if (!ARABIC_INDIC.test(message) || ARABIC_INDIC.test(number(0, tag))) return message;
  return message.replace(EACH, (digit) => String(digit.charCodeAt(0) & 15));
}

/** @param {string} key */
export const has = (key) => catalogs.get(language.value)?.[key] !== undefined || catalogs.get(FALLBACK)?.[key] !== undefined;

/**
 * @param {number} value
 * @param {string} [tag]
 */
export const number = (value, tag = locale.value) => new Intl.NumberFormat(tag).format(value);


/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {number} at milliseconds
 * @param {Intl.DateTimeFormatOptions} options
 */
function dated(at, options) {
  // One calendar for all, the one in which births and appointments are written down.
  const tag = new Intl.Locale(locale.value, { calendar: "gregory" }).toString();
  const key = `${tag} ${zone.value} ${JSON.stringify(options)}`;
  let made = formats.get(key);
  if (!made) formats.set(key, (made = new Intl.DateTimeFormat(tag, { timeZone: zone.value, ...options })));
  return made.format(at);
}

/** @param {number} at @param {string} [timeZone] another place's than the institution's */
export const clockTime = (at, timeZone) => dated(at, { hour: "2-digit", minute: "2-digit", ...(timeZone && { timeZone }) });
/** A time of day on whatever wall it hangs: "09:00 AM" of "09:00:00". @param {string} time */
export const wallTime = (time) => clockTime(Date.parse(`1970-01-01T${time.slice(0, 5)}Z`), "UTC");
/** @param {number} at @param {string} [timeZone] */
export const longDate = (at, timeZone) => dated(at, { weekday: "long", day: "numeric", month: "long", ...(timeZone && { timeZone }) });
/** A part of a date, as this language writes it: "Sat", "21", "November". @param {number} at @param {Intl.DateTimeFormatOptions} part */
export const datePart = (at, part) => dated(at, part);

/** An amount with its currency. @param {string} amount @param {string} currency */
export const money = (amount, currency) => new Intl.NumberFormat(locale.value, { style: "currency", currency, minimumFractionDigits: Number.isInteger(Number(amount)) ? 0 : undefined }).format(Number(amount));
/** A day, with its weekday: "Saturday 21 November". @param {string} iso */
export const dayTitle = (iso) => dated(Date.parse(iso), { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
/** The same where there is little room. @param {string} iso */
export const dayName = (iso) => dated(Date.parse(iso), { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
/** To the second, for records. @param {number} at */
export const stamp = (at) => dated(at, { dateStyle: "medium", timeStyle: "medium" });

/**
 * A day, or the day of an instant: "14 March 1961". A birth is a day and no instant, so no zone may move it.
 * @param {string} iso
 */
export const fullDate = (iso) => dated(Date.parse(iso), { day: "numeric", month: "long", year: "numeric", ...(iso.length === 10 ? { timeZone: "UTC" } : {}) });

/**
 * When somebody was born, as exactly as it is known: a date, a year in the reader's numerals, or nothing.
 *
 * @param {{birth_date?: string | null, birth_year?: number | null}} one
 */
export const bornIn = ({ birth_date, birth_year }) =>
  birth_date ? fullDate(birth_date) : birth_year ? new Intl.NumberFormat(locale.value, { useGrouping: false }).format(birth_year) : "";

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
  const two = new Intl.NumberFormat(locale.value, { minimumIntegerDigits: 2 });
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
