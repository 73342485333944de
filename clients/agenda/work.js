// @ts-check
/**
 * Owns what the agenda knows and does: one doctor's appointments and walk-ins, the requests to answer, and every step.
 *
 * Invariant: what is coming and what is on now is the doctor's stream and nothing else; only days that the stream has
 * let go of, and requests answered long ago, are asked for.
 *
 * @import {Feed} from "../shared/socket.js"
 * @import {DoctorAppointment, Emergency} from "../shared/events.js"
 * @import {Envelope} from "../shared/wire.js"
 * @typedef {{id: number, name: string, specialty_id: number | null, location_ids: number[]}} Doctor
 * @typedef {{institution: {zone: string}, doctors: Doctor[], locations: {id: number, name: string}[], specialties: {id: number, name: string}[]}} Catalogue
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, get, request } from "../shared/api.js";
import { close } from "../shared/asked.js";
import { coarse } from "../shared/clock.js";
import { connect, disconnect, refused } from "../shared/connection.js";
import { clockTime, t, zone } from "../shared/i18n.js";
import { user, whileHere } from "../shared/session.js";
import { NONE } from "../shared/socket.js";
import { dayOf, plusDays, weekOf } from "../shared/times.js";
import { store } from "../shared/ui.js";
import { hush, say } from "../shared/word.js";
import { go, route } from "./route.js";

const AGAIN_MS = 400;

export const catalogue = signal(/** @type {Catalogue | null} */ (null));
export const pending = signal("");
/** Whether the asker may not see this doctor's agenda. */
export const shut = signal(false);

const feed = signal(/** @type {Feed | null} */ (null));
/** Days before yesterday, as they were asked for: by day. */
const past = signal(/** @type {Map<string, DoctorAppointment[]>} */ (new Map()));
/** Of which days it is being asked. */
const asking = signal(/** @type {ReadonlySet<string>} */ (new Set()));
/** Requests that were answered, as they were asked for; null until they are. */
const answered = signal(/** @type {DoctorAppointment[] | null} */ (null));

const rows = computed(() => feed.value?.rows.value ?? NONE);

export const today = computed(() => dayOf(coarse.value, zone.value));
export const day = computed(() => route.value.day || today.value);
export const days = computed(() => (route.value.span === "week" ? weekOf(day.value) : [day.value]));

export const who = computed(() => (user.value?.role === "doctor" ? (user.value.doctor_id ?? null) : route.value.doctor));
export const doctor = computed(() => catalogue.value?.doctors.find((one) => one.id === who.value) ?? null);
export const isDoctor = computed(() => user.value?.role === "doctor");
/** Whether all that is coming is here: nothing that comes from now on has been there before. */
export const loaded = computed(() => rows.value !== NONE && catalogue.value !== null);

const known = computed(() => /** @type {DoctorAppointment[]} */ ([...rows.value].filter(([key]) => key.startsWith("a:")).map(([, row]) => row)));
export const emergencies = computed(() => /** @type {Emergency[]} */ ([...rows.value].filter(([key]) => key.startsWith("e:")).map(([, row]) => row)));

/** @param {DoctorAppointment} a @param {DoctorAppointment} b */
const byTime = (a, b) => Date.parse(a.starts_at) - Date.parse(b.starts_at) || a.appointment - b.appointment;

/** What each day shown holds, in order of time. */
export const entries = computed(() => {
  const live = new Map(days.value.map((one) => [one, /** @type {DoctorAppointment[]} */ ([])]));
  for (const one of known.value) if (!isRequest(one)) live.get(dayOf(Date.parse(one.starts_at), zone.value))?.push(one);
  for (const one of days.value) {
    const there = new Set(live.get(one)?.map((each) => each.appointment));
    for (const old of past.value.get(one) ?? []) if (!there.has(old.appointment) && !isRequest(old)) live.get(one)?.push(old);
    live.get(one)?.sort(byTime);
  }
  return live;
});

/** Whether somebody waits for an answer. @param {DoctorAppointment} one */
export const isRequest = (one) => one.state === "pending";
const wasRequest = (/** @type {DoctorAppointment} */ one) => one.expires_at !== null;

export const waiting = computed(() => known.value.filter(isRequest).sort(byTime));
/** The requests that the filter lets through. */
export const requests = computed(() => {
  const filter = route.value.requests;
  if (filter === "pending") return waiting.value;
  const all = new Map((answered.value ?? []).map((one) => [one.appointment, one]));
  for (const one of known.value) if (wasRequest(one)) all.set(one.appointment, one);
  return [...all.values()].filter((one) => filter === "all" || (filter === "rejected") === (one.state === "rejected")).filter((one) => filter === "all" || !isRequest(one)).sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
});

/** Whether it is known what a day holds. @param {string} one */
export const told = (one) => !asking.value.has(one);
/** Whether all requests that the filter lets through are known. */
export const requestsTold = computed(() => route.value.requests === "pending" || answered.value !== null);

/** @param {number} id */
export const appointment = (id) => /** @type {DoctorAppointment | null} */ (rows.value.get(`a:${id}`) ?? [...past.value.values(), answered.value ?? []].flat().find((one) => one.appointment === id) ?? null);

/** @param {number} id */
export const locationName = (id) => catalogue.value?.locations.find((one) => one.id === id)?.name ?? "";

effect(() => void (zone.value = catalogue.value?.institution.zone ?? undefined));

// The link

let followed = 0;

/** Begin for the one who has signed in. */
export async function begin() {
  const found = /** @type {Catalogue | undefined} */ (await whileHere(() => get("/catalogue")));
  if (!found) return;
  catalogue.value = found;
  const first = found.doctors[0];
  if (who.peek() === null && first) go({ doctor: first.id });
  else follow();
}

/** End: somebody else may sit down here. */
export function end() {
  disconnect();
  hush();
  close();
  followed = 0;
  feed.value = catalogue.value = deskFor.value = null;
  whose = 0;
  past.value = new Map();
  asking.value = new Set();
  answered.value = null;
  shut.value = false;
  pending.value = "";
}

function follow() {
  const id = who.peek();
  if (!id || id === followed || !user.peek()) return;
  followed = id;
  shut.value = false;
  feed.peek()?.stop();
  const link = connect(() => pending.peek() === "");
  feed.value = link.follow(`doctor:${id}`, happened, (problem) => refused(problem, () => (shut.value = true)));
}

effect(() => void (who.value && catalogue.value && follow()));

/**
 * @param {Envelope[]} events
 * @param {import("../shared/socket.js").How} how
 */
function happened(events, how) {
  if (how !== "live") return;
  for (const event of events) {
    const row = /** @type {DoctorAppointment | undefined} */ (Object.values(event.data.put ?? {})[0]);
    if (event.type === "new-appointment" && row && isRequest(row)) announce(t("agenda.new.request"), row);
    else if (event.type === "new-appointment" && row && !row.walk_in) announce(t("agenda.new.booked"), row);
    else if (event.type === "emergency-alert") notify(t("agenda.emergency"), "");
  }
  answeredSoon();
}

/** @param {string} word @param {DoctorAppointment} row */
function announce(word, row) {
  say({ text: `${word} ${clockTime(Date.parse(row.starts_at))}`, kind: "done", undo: null });
  // No name: the notification may lie open on somebody else's screen.
  notify(word, clockTime(Date.parse(row.starts_at)));
}

// What the browser may tell while the page is behind another

export const mayNotify = signal(typeof Notification === "undefined" ? "denied" : Notification.permission);

export async function allowNotices() {
  if (typeof Notification !== "undefined") mayNotify.value = await Notification.requestPermission();
}

/** @param {string} title @param {string} body */
function notify(title, body) {
  if (mayNotify.peek() !== "granted" || !document.hidden) return;
  try {
    const shown = new Notification(title, { body, tag: `callboard-${Date.now()}`, icon: "/clients/shared/icon.svg" });
    shown.onclick = () => (window.focus(), shown.close());
  } catch {
    // A phone's browser shows notifications only from a service worker.
  }
}

// What the stream has let go of

effect(() => {
  const id = who.value;
  const from = plusDays(today.value, -1);
  if (!id || !catalogue.value) return;
  forgetOther(id);
  for (const one of days.value) if (one <= from && !past.peek().has(one) && !asking.peek().has(one)) void loadDay(id, one);
});

/** Whose days and requests these are. */
let whose = 0;

/** Of another doctor than before nothing is known yet. @param {number} id */
function forgetOther(id) {
  if (whose === id) return;
  whose = id;
  past.value = new Map();
  asking.value = new Set();
  answered.value = null;
}

/** @param {number} id @param {string} one */
async function loadDay(id, one) {
  asking.value = new Set(asking.peek()).add(one);
  const found = await whileHere(() => get(`/doctors/${id}/day?date=${one}`), (refusal) => say({ text: refusal.message, kind: "problem", undo: null }));
  if (!found || who.peek() !== id) return;
  past.value = new Map(past.peek()).set(one, found.appointments.map((/** @type {{appointment: DoctorAppointment}} */ each) => each.appointment));
  asking.value = new Set([...asking.peek()].filter((each) => each !== one));
}

let answeredTimer = 0;
const answeredSoon = () => {
  clearTimeout(answeredTimer);
  answeredTimer = setTimeout(loadAnswered, AGAIN_MS);
};

let turn = 0;

/** The last question's answer counts. */
async function loadAnswered() {
  const id = who.peek();
  if (!id || route.peek().requests === "pending") return;
  const mine = (turn += 1);
  const found = await whileHere(() => request("POST", "/appointments/search", { body: { doctor_ids: [id], requested: true, order: "latest", limit: 100 } }));
  if (found && mine === turn && who.peek() === id) answered.value = found.items.map((/** @type {{appointment: DoctorAppointment}} */ each) => each.appointment);
}

effect(() => {
  const id = who.value;
  if (!id || !catalogue.value || route.value.requests === "pending") return;
  forgetOther(id);
  void loadAnswered();
});

// Steps

/**
 * Take one step: pending until answered, then a word on what happened, or why not.
 * @param {string} name the step, as in the texts ("agenda.done.<name>")
 * @param {string} path
 * @param {Record<string, any>} [body]
 * @param {number | null} [undo] the appointment whose step can be taken back
 * @param {(problem: Problem) => boolean} [instead] what else to do about a refusal; answers whether it did
 * @returns {Promise<boolean>}
 */
export async function step(name, path, body = {}, undo = null, instead) {
  if (pending.peek()) return false;
  pending.value = name;
  try {
    await act(path, body);
    say({ text: t(`agenda.done.${name}`), kind: "done", undo });
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
    else if (!instead?.(error)) say({ text: error.message, kind: "problem", undo: null });
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
export function take(name, one, body = {}) {
  const desk = AT_DESK.has(name) && one.ticket !== null ? (body.desk_id ?? place()?.desk) : null;
  const whole = { ...body, ...(desk && { desk_id: desk }) };
  return step(name, `/appointments/${one.appointment}/${name}`, whole, CAN_UNDO.has(name) ? one.appointment : null, (problem) => {
    // Whoever still waits is called to a room first: which one nobody has said, or it lies elsewhere.
    const ask = (problem.code === "call-first" || problem.code === "desk-unknown") && AT_DESK.has(name);
    if (ask) deskFor.value = { name, one };
    return ask;
  });
}

/** Steps that call whoever still waits to a desk. */
const AT_DESK = new Set(["start", "complete"]);
/** The step that waits for a desk to be chosen. */
export const deskFor = signal(/** @type {{name: string, one: DoctorAppointment} | null} */ (null));

const kept = store();

/** Where this person works, as the console keeps it. @returns {{queue: number, desk: number} | null} */
function place() {
  try {
    return JSON.parse(kept.get("callboard.place") ?? "null");
  } catch {
    return null;
  }
}

/** The desks at a location, each with a queue that it serves. @param {number} location @returns {Promise<{id: number, name: string, queue: number}[]>} */
export async function desksAt(location) {
  /** @type {Map<number, {id: number, name: string, queue: number}>} */
  const found = new Map();
  let cursor = "";
  do {
    const page = await get(`/queues${cursor && `?cursor=${encodeURIComponent(cursor)}`}`);
    for (const queue of page.items) if (queue.location_id === location) for (const desk of queue.desks) found.set(desk.id, found.get(desk.id) ?? { ...desk, queue: queue.id });
    cursor = page.next ?? "";
  } while (cursor);
  return [...found.values()];
}

/** Take the step that waited at this desk, and remember it. @param {{id: number, queue: number}} desk */
export function takeAt(desk) {
  const waits = deskFor.peek();
  if (!waits) return Promise.resolve(false);
  kept.set("callboard.place", JSON.stringify({ queue: desk.queue, desk: desk.id }));
  deskFor.value = null;
  return take(waits.name, waits.one, { desk_id: desk.id });
}
