// @ts-check
/**
 * Owns the waitlist as those who work here look through it: the filters, the line, the offers that are open, how many
 * wait for which day, and every step taken.
 *
 * Invariants: the filters stand in the address, but for the text sought, which may be a person's name. A row shown is
 * as new as the stream; places in the line, and chances, are asked for anew with each change.
 *
 * @import {Catalogue, Envelope, StaffWait, Standing} from "../shared/wire.js"
 * @typedef {StaffWait & {standing: Standing | null}} Listed
 * @typedef {{doctor: string, specialty: string, least: string, states: string[], day: string}} Filters
 * @typedef {{doctor: number, day: string, waiting: number, urgent: number, offered: number}} DayWanted
 */
import { effect, signal } from "@preact/signals";

import { Problem, act, get, newKey, request } from "../shared/api.js";
import { close } from "../shared/asked.js";
import { readCatalogue } from "../shared/catalogue.js";
import { serverNow } from "../shared/clock.js";
import { connect, disconnect } from "../shared/connection.js";
import { t, zone } from "../shared/i18n.js";
import { inAddress, paged } from "../shared/list.js";
import { user } from "../shared/session.js";
import { dayOf, plusDays } from "../shared/times.js";
import { hush, say } from "../shared/word.js";

const OFFERS = 200;
const SOON_MS = 300;
/** Doctors hear of their own time alone: who joins their line is asked for now and then. */
const ANEW_MS = 10_000;
/** Days of which it is told how many wait for them. */
export const DAYS = 14;

export const STATES = ["waiting", "offered", "booked", "left", "over"];
const LIVE = new Set(["waiting", "offered"]);
const DAY = /^\d{4}-\d{2}-\d{2}$/;

export const catalogue = signal(/** @type {Catalogue | null} */ (null));
export const offers = signal(/** @type {readonly Listed[]} */ ([]));
export const wanted = signal(/** @type {readonly DayWanted[]} */ ([]));
export const text = signal("");
export const pending = signal("");
/** Moves with every change that is told, for whatever else is shown of one place. */
export const moved = signal(0);

// Filters, in the address

/** @param {string} fragment @returns {Filters} */
function parse(fragment) {
  const asked = new URLSearchParams(fragment.replace(/^#?\/?\??/, ""));
  const id = (/** @type {string} */ name) => (/^\d{1,18}$/.test(asked.get(name) ?? "") ? (asked.get(name) ?? "") : "");
  return {
    doctor: id("doctor"),
    specialty: id("specialty"),
    least: ["6", "8"].find((one) => one === asked.get("least")) ?? "",
    states: (asked.get("states") ?? "").split(",").filter((one) => STATES.includes(one)),
    day: DAY.test(asked.get("day") ?? "") ? (asked.get("day") ?? "") : "",
  };
}

export const { filters, set } = inAddress(parse);

/** The clinic's day that it is now. */
export const today = () => dayOf(serverNow(), zone.value);

const house = () => (user.peek()?.institution_id === null && catalogue.peek() ? { institution_id: catalogue.peek()?.institution.id } : {});

/** What the server is asked, by the filters as they are. */
function question() {
  const { doctor, specialty, least, states, day } = filters.peek();
  return {
    ...house(),
    ...(doctor && { doctor_id: Number(doctor) }),
    ...(specialty && { specialty_id: Number(specialty) }),
    ...(least && { least_priority: Number(least) }),
    ...(states.length > 0 && { states }),
    ...(day && { day }),
    ...(text.peek().trim() && { text: text.peek().trim() }),
  };
}

// Reading

/** @param {{limit: number, cursor?: string}} page without a cursor, what stands around the line is read with it */
async function search(page) {
  const more = page.cursor !== undefined;
  const [found, open, days] = await Promise.all([
    request("POST", "/waitlist/search", { body: { ...question(), ...page } }),
    more ? null : request("POST", "/waitlist/search", { body: { ...house(), states: ["offered"], limit: OFFERS } }),
    more ? null : get(`/waitlist/demand?${demanded()}`),
  ]);
  return { items: /** @type {readonly Listed[]} */ (found.items), next: /** @type {string | null} */ (found.next), open, days };
}

export const { listed, next, busy, problem, load, loadSoon, forget } = paged(search, SOON_MS, ({ open, days }) => {
  if (open) offers.value = open.items;
  if (days) wanted.value = days.items;
  moved.value += 1;
});

function demanded() {
  const asked = new URLSearchParams({ first_day: today(), last_day: plusDays(today(), DAYS - 1) });
  const { institution_id: id } = house();
  if (id) asked.set("institution_id", String(id));
  return asked;
}

effect(() => void (filters.value && catalogue.value && ((listed.value = null), load())));

// The link

/** Begin for the one who has signed in. */
export async function begin() {
  const found = /** @type {Catalogue | undefined} */ (await readCatalogue((why) => (problem.value = why)));
  if (!found) return;
  catalogue.value = found;
  follow();
}

/** End: somebody else may sit down here. */
export function end() {
  disconnect();
  hush();
  close();
  forget();
  catalogue.value = null;
  offers.value = wanted.value = [];
  text.value = pending.value = "";
}

function follow() {
  const link = connect(() => pending.peek() === "");
  const who = user.peek();
  if (who?.role !== "doctor") return void link.follow(`waitlist:${catalogue.peek()?.institution.id}`, happened);
  for (const kind of ["doctor", "slots"]) link.follow(`${kind}:${who.doctor_id}`, (events, how) => how !== "snapshot" && events.length > 0 && loadSoon());
}
setInterval(() => user.peek()?.role === "doctor" && !document.hidden && catalogue.peek() && loadSoon(), ANEW_MS);

/**
 * @param {readonly Envelope[]} events
 * @param {import("../shared/socket.js").How} how
 */
function happened(events, how) {
  if (how === "snapshot") return;
  for (const { data } of events) {
    for (const row of /** @type {StaffWait[]} */ (Object.values(data.put ?? {}))) put(row);
    for (const key of data.drop ?? []) drop(Number(key.slice(2)));
  }
  if (events.length > 0) loadSoon();
}

/** A row as it has just been told; its place in the line stands until it is asked for. @param {StaffWait} row */
function put(row) {
  /** @param {readonly Listed[]} all */
  const fresh = (all) => all.map((one) => (one.entry === row.entry ? { ...one, ...row } : one));
  listed.value = listed.peek() && fresh(listed.peek() ?? []);
  offers.value = fresh(offers.peek()).filter((one) => one.offer !== null);
}

/** @param {number} entry */
function drop(entry) {
  const states = filters.peek().states;
  // What has ended is still shown to whoever looks for that.
  if (states.every((one) => LIVE.has(one))) listed.value = listed.peek()?.filter((one) => one.entry !== entry) ?? null;
  offers.value = offers.peek().filter((one) => one.entry !== entry);
}

/** @param {number} id */
export const found = (id) => listed.value?.find((one) => one.entry === id) ?? offers.value.find((one) => one.entry === id) ?? null;

// Steps

/** @type {{what: string, key: string} | null} */
let trying = null;

/**
 * Take one step: pending until answered, then a word on what happened, or why not.
 * @param {"join" | "priority" | "leave" | "accept" | "decline"} name
 * @param {string} path
 * @param {Record<string, any>} [body]
 */
export async function step(name, path, body = {}) {
  if (pending.peek()) return false;
  const what = `${path} ${JSON.stringify(body)}`;
  if (trying?.what !== what) trying = { what, key: newKey() };
  pending.value = name;
  try {
    const reply = await act(path, body, trying.key);
    trying = null;
    say({ text: t(name === "join" && reply.offer_id ? "waitlist.did.joined.offer" : `waitlist.did.${name}`), kind: "done" });
    loadSoon();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) trying = null;
    if (error.code === "not-authenticated") user.value = null;
    else say({ text: error.message, kind: "problem" });
    return false;
  } finally {
    pending.value = "";
  }
}
