// @ts-check
/**
 * Owns the list of appointments that the desk looks through: the filters, the page of rows, and every step taken.
 *
 * Invariants: the filters stand in the address, but for the text sought, which may be a person's name. A row shown is
 * as new as its doctor's stream; what came to be since is fetched, in its place.
 *
 * @import {Feed} from "../shared/socket.js"
 * @import {DoctorAppointment} from "../shared/events.js"
 * @import {Envelope} from "../shared/wire.js"
 * @typedef {{appointment: DoctorAppointment, doctor_name: string | null, specialty_name: string | null, location_name: string, currency: string | null}} Listed
 * @typedef {{doctors: string[], location: string, states: string[], visit: string, mode: string, source: string, payment: string, kind: string, from: string, to: string, order: "soonest" | "latest"}} Filters
 * @typedef {{institution: {id: number, zone: string}, doctors: {id: number, name: string}[], locations: {id: number, name: string}[], visit_types: {id: number, name: string}[]}} Catalogue
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, request } from "../shared/api.js";
import { close } from "../shared/asked.js";
import { readCatalogue } from "../shared/catalogue.js";
import { serverNow } from "../shared/clock.js";
import { connect, disconnect } from "../shared/connection.js";
import { t, zone } from "../shared/i18n.js";
import { inAddress, paged } from "../shared/list.js";
import { user } from "../shared/session.js";
import { dayOf } from "../shared/times.js";
import { hush, say } from "../shared/word.js";

const SOON_MS = 400;
/** A socket follows so many streams at most; with more doctors than that, the list is asked for anew now and then. */
const FOLLOWED = 80;
const ANEW_MS = 15_000;

export const catalogue = signal(/** @type {Catalogue | null} */ (null));
export const text = signal("");
export const chosen = signal(/** @type {Set<number>} */ (new Set()));
/** What became of each of those chosen last: its problem, or "" where it was done. */
export const results = signal(/** @type {Map<number, string>} */ (new Map()));
export const pending = signal("");

// Filters, in the address

const STATES = new Set(["pending", "confirmed", "rejected", "checked_in", "in_progress", "completed", "cancelled", "no_show", "rescheduled"]);
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** @param {string} fragment @returns {Filters} */
function parse(fragment) {
  const asked = new URLSearchParams(fragment.replace(/^#?\/?\??/, ""));
  const ids = (/** @type {string} */ name) => (asked.get(name) ?? "").split(",").filter((one) => /^\d{1,18}$/.test(one));
  const day = (/** @type {string} */ name) => (DAY.test(asked.get(name) ?? "") ? (asked.get(name) ?? "") : "");
  const one = (/** @type {string} */ name, /** @type {string[]} */ of) => of.find((each) => each === asked.get(name)) ?? "";
  return {
    doctors: ids("doctors"),
    location: ids("location")[0] ?? "",
    states: (asked.get("states") ?? "").split(",").filter((each) => STATES.has(each)),
    visit: ids("visit")[0] ?? "",
    mode: one("mode", ["in_person", "online"]),
    source: one("source", ["online", "reception", "kiosk", "phone", "import"]),
    payment: one("payment", ["unpaid", "paid", "waived", "refunded"]),
    kind: one("kind", ["scheduled", "walk_in"]),
    from: day("from"),
    to: day("to"),
    order: asked.get("order") === "latest" ? "latest" : "soonest",
  };
}

export const { filters, set } = inAddress(parse, "soonest");

/** The day of the clinic that it is now. */
export const today = () => dayOf(serverNow(), zone.value);

/** What the server is asked, by the filters as they are. */
function question() {
  const { doctors, location: place, states, visit, mode, source, payment, kind, from, to } = filters.peek();
  return {
    ...(user.peek()?.institution_id === null && catalogue.peek() ? { institution_id: catalogue.peek()?.institution.id } : {}),
    ...(doctors.length > 0 && { doctor_ids: doctors.map(Number) }),
    ...(place && { location_ids: [Number(place)] }),
    ...(states.length > 0 && { states }),
    ...(visit && { visit_type_ids: [Number(visit)] }),
    ...(mode && { mode }),
    ...(source && { source }),
    ...(payment && { payment }),
    ...(kind && { kind }),
    ...(from && { from_day: from }),
    ...(to && { to_day: to }),
    ...(text.peek().trim() && { text: text.peek().trim() }),
  };
}

const search = (/** @type {{limit: number, cursor?: string}} */ page) => /** @type {Promise<{items: Listed[], next: string | null}>} */ (request("POST", "/appointments/search", { body: { ...question(), order: filters.peek().order, ...page } }));
export const { listed, next, busy, problem, load, loadSoon, forget } = paged(search, SOON_MS);

effect(() => void (filters.value && catalogue.value && ((chosen.value = new Set()), (results.value = new Map()), (listed.value = null), load())));

/** Save what the filters show as a spreadsheet's file. */
export async function save() {
  if (pending.peek()) return;
  pending.value = "export";
  try {
    const reply = await request("POST", "/appointments/export", { body: question(), file: true });
    const saved = document.createElement("a");
    saved.href = URL.createObjectURL(reply);
    saved.download = `appointments-${today()}.csv`;
    saved.click();
    setTimeout(() => URL.revokeObjectURL(saved.href), 10_000);
  } catch (error) {
    refuse(error);
  } finally {
    pending.value = "";
  }
}

// The link

/** @type {Map<number, Feed>} */
const feeds = new Map();

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
  feeds.clear();
  catalogue.value = null;
  chosen.value = new Set();
  results.value = new Map();
  text.value = pending.value = "";
}

function follow() {
  const link = connect(() => pending.peek() === "" && chosen.peek().size === 0);
  const own = user.peek()?.role === "doctor" ? [user.peek()?.doctor_id ?? 0] : (catalogue.peek()?.doctors ?? []).map((one) => one.id);
  for (const id of own.slice(0, FOLLOWED)) if (!feeds.has(id)) feeds.set(id, link.follow(`doctor:${id}`, happened, () => unheard.add(id)));
  if (own.length > FOLLOWED) unheard.add(0);
}

/** Doctors whose stream is not ours to follow: what changes with them is asked for now and then. */
const unheard = new Set();
setInterval(() => unheard.size > 0 && !document.hidden && catalogue.peek() && loadSoon(), ANEW_MS);

/**
 * @param {Envelope[]} events
 * @param {import("../shared/socket.js").How} how
 */
function happened(events, how) {
  if (how === "snapshot") return;
  for (const event of events) {
    for (const [key, row] of Object.entries(event.data.put ?? {})) {
      if (!key.startsWith("a:")) continue;
      const at = listed.peek()?.findIndex((one) => one.appointment.appointment === row.appointment) ?? -1;
      if (at >= 0) listed.value = listed.peek()?.map((one, nth) => (nth === at ? { ...one, appointment: /** @type {DoctorAppointment} */ (row) } : one)) ?? null;
    }
  }
  if (events.length > 0) loadSoon();
}

/** @param {number} id */
export const found = (id) => listed.value?.find((one) => one.appointment.appointment === id) ?? null;

// Steps

/** @param {unknown} error */
function refuse(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.code === "not-authenticated") user.value = null;
  else say({ text: error.message, kind: "problem", undo: null });
}

/**
 * Take one step: pending until answered, then a word on what happened, or why not.
 * @param {string} name the step, as in the texts ("agenda.done.<name>")
 * @param {string} path
 * @param {Record<string, any>} [body]
 * @param {number | null} [undo]
 * @returns {Promise<boolean>}
 */
export async function step(name, path, body = {}, undo = null) {
  if (pending.peek()) return false;
  pending.value = name;
  try {
    await act(path, body);
    say({ text: t(`agenda.done.${name}`), kind: "done", undo });
    loadSoon();
    return true;
  } catch (error) {
    refuse(error);
    return false;
  } finally {
    pending.value = "";
  }
}

/** Take back what was last done with an appointment. @param {number} id */
export const undo = (id) => step("undo", `/appointments/${id}/undo`);

const CAN_UNDO = new Set(["confirm", "reject", "cancel", "check-in", "start", "complete", "no-show"]);

/**
 * A step of one appointment.
 * @param {string} name
 * @param {DoctorAppointment} one
 * @param {Record<string, any>} [body]
 */
export const take = (name, one, body = {}) => step(name, `/appointments/${one.appointment}/${name}`, body, CAN_UNDO.has(name) ? one.appointment : null);

/** What can be done to all those chosen. @type {("confirm" | "complete" | "cancel")[]} */
export const BULK = ["confirm", "complete", "cancel"];

/**
 * Do one thing with all that are chosen; each row then says what became of it.
 * @param {"confirm" | "complete" | "cancel"} action
 * @param {string} [reason]
 */
export async function bulk(action, reason = "") {
  if (pending.peek()) return false;
  pending.value = action;
  try {
    const reply = await act("/appointments/bulk", { action, appointment_ids: [...chosen.peek()], ...(reason && { reason }) });
    results.value = new Map(reply.items.map((/** @type {{appointment_id: number, problem: any}} */ one) => [one.appointment_id, one.problem ? new Problem(one.problem).message : ""]));
    const failed = [...results.peek().values()].filter(Boolean).length;
    chosen.value = new Set([...results.peek()].filter(([, why]) => why).map(([id]) => id));
    say({ text: t(`bookings.did.${action}`, { n: results.peek().size - failed, failed }), kind: failed ? "problem" : "done", undo: null });
    loadSoon();
    return true;
  } catch (error) {
    refuse(error);
    return false;
  } finally {
    pending.value = "";
  }
}

/** @param {number} id */
export function choose(id) {
  const after = new Set(chosen.peek());
  if (!after.delete(id)) after.add(id);
  chosen.value = after;
}

export const allChosen = computed(() => (listed.value?.length ?? 0) > 0 && (listed.value ?? []).every((one) => chosen.value.has(one.appointment.appointment)));
export const chooseAll = () => void (chosen.value = allChosen.peek() ? new Set() : new Set(listed.peek()?.map((one) => one.appointment.appointment)));
