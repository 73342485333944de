// @ts-check
/**
 * Owns what a patient sees of their own appointments: those to come live from their stream, past ones read a page at a
 * time, and the steps that they take.
 *
 * Invariant: an appointment is shown as the stream tells it; a step's answer changes nothing here by itself.
 *
 * @import {Booked, Envelope, PatientAppointment, PatientTicket, Row} from "../shared/wire.js"
 * @import {PatientNotice} from "../shared/events.js"
 * @import {Feed, Link} from "../shared/socket.js"
 * @import {Time} from "../book/days.js"
 * @typedef {{kind: "cancel" | "move" | "check-in" | "help", appointment: PatientAppointment}} Doing
 */
import { computed, effect, signal } from "@preact/signals";

import { catalogue, zoneAt } from "../book/catalogue.js";
import { local } from "../book/days.js";
import * as holding from "../book/hold.js";
import { connect } from "../book/link.js";
import { Times } from "../book/times.js";
import { Problem, act, get, newKey } from "../shared/api.js";
import { coarse } from "../shared/clock.js";
import { disconnect } from "../shared/connection.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { NONE } from "../shared/socket.js";
import { store } from "../shared/ui.js";

/** States in which something is still to come. */
const AHEAD = new Set(["pending", "confirmed", "checked_in", "in_progress"]);
/** What has just come to an end stays beside what is to come for as long, so that nobody looks for it. */
const FRESH_MS = 86_400_000;
const PAST = 20;

const kept = store();
/** Counts the links kept: the stream may tell of a ticket before the answer that brings its link. */
const keeping = signal(0);

const feed = signal(/** @type {Feed | null} */ (null));
export const doing = signal(/** @type {Doing | null} */ (null));
export const working = signal(false);
export const problem = signal("");
/** A word on what has just happened. */
export const said = signal("");
export const times = signal(/** @type {Times | null} */ (null));
export const past = signal(/** @type {{items: readonly PatientAppointment[], next: string | null} | null} */ (null));
export const pastProblem = signal("");
export const help = signal(/** @type {{emergency: number, by: string | null, ended: boolean} | null} */ (null));

const known = computed(() => feed.value?.rows.value ?? NONE);
/** Whether the stream has told everything once. */
export const told = computed(() => known.value !== NONE);
export const rows = computed(() => /** @type {[string, Row][]} */ ([...known.value]));
const all = computed(() => /** @type {PatientAppointment[]} */ (rows.value.filter(([key]) => key.startsWith("a:")).map(([, row]) => row)));
/** What is to come, soonest first. */
export const ahead = computed(() => all.value.filter((one) => AHEAD.has(one.state)).sort(byStart));
/** What has ended today or was called off for a day to come: told apart, and then forgotten. */
export const ended = computed(() => all.value.filter((one) => !AHEAD.has(one.state) && one.rescheduled_to === null && Date.parse(one.starts_at) > coarse.value - FRESH_MS).sort(byStart));
export const tickets = computed(() => /** @type {PatientTicket[]} */ (rows.value.filter(([key, row]) => key.startsWith("t:") && ["waiting", "called", "in_consultation", "on_hold"].includes(row.state)).map(([, row]) => row)));
/** What was told and not seen yet, oldest first. */
export const notices = computed(() => /** @type {PatientNotice[]} */ (rows.value.filter(([key]) => key.startsWith("n:")).map(([, row]) => row)).sort((a, b) => a.notice - b.notice));

/** @param {PatientAppointment} a @param {PatientAppointment} b */
const byStart = (a, b) => Date.parse(a.starts_at) - Date.parse(b.starts_at) || a.appointment - b.appointment;

/** @param {PatientAppointment} one */
export const isToday = (one) => local(Date.parse(one.starts_at), zoneAt(one.location)).day === local(coarse.value, zoneAt(one.location)).day;
/** Whether it can still be moved or called off here. @param {PatientAppointment} one */
export const changeable = (one) => one.state === "pending" || (one.state === "confirmed" && one.change_until !== null && Date.parse(one.change_until) > coarse.value);
/** Who is there may leave. @param {PatientAppointment} one */
export const leavable = (one) => one.state === "checked_in";
/** What is asked for in place of an appointment that stands until somebody says yes: by that one's id. */
export const wishes = computed(() => new Map(ahead.value.flatMap((one) => (one.state === "pending" && one.rescheduled_from !== null ? [[one.rescheduled_from, one]] : []))));
/** @param {PatientAppointment} one */
export const arrivable = (one) => one.state === "confirmed" && one.mode === "in_person" && isToday(one);

/** @type {(events: readonly Envelope[]) => void} */
let listener = () => {};
/** Have somebody listen to what the stream tells. @param {typeof listener} one */
export const happened = (one) => void (listener = one);

/** @type {Link | null} */
let link = null;

export function begin() {
  const who = user.peek();
  if (!who?.patient_id) return;
  holding.forget();
  const made = (link = connect(() => doing.peek() === null));
  holding.holdOver(made, false);
  times.value = new Times(made);
  feed.value = made.follow(`patient:${who.patient_id}`, (events) => listener(events), (refusal) => refusal.code === "not-authenticated" && (user.value = null));
}

export function end() {
  if (!link) return;
  close();
  disconnect();
  link = null;
  feed.value = times.value = null;
  past.value = help.value = null;
  said.value = pastProblem.value = "";
  catalogue.value = null;
}

/** @param {Doing["kind"]} kind @param {PatientAppointment} appointment */
export function begins(kind, appointment) {
  problem.value = said.value = "";
  doing.value = { kind, appointment };
  if (kind === "move") lookForTimes(appointment);
}

export function close() {
  if (doing.peek()?.kind === "move") {
    holding.release();
    times.peek()?.stop();
  }
  doing.value = null;
  problem.value = "";
}

/** Close this sheet, unless another one was opened before its answer came. @param {Doing | null} open */
const closeIf = (open) => void (doing.peek() === open && close());

/** The times that an appointment could be moved to: of its doctor, as long as it is, done the same way. @param {PatientAppointment} one */
function lookForTimes(one) {
  if (!one.doctor || !times.peek()) return;
  const minutes = one.ends_at ? Math.round((Date.parse(one.ends_at) - Date.parse(one.starts_at)) / 60_000) : undefined;
  void times.peek()?.seek({ doctors: [one.doctor], type: one.visit_type?.id ?? null, mode: one.mode, location: null, minutes });
}
effect(() => {
  const shown = times.value;
  if (shown) shown.mine.value = holding.hold.value?.state === "held" ? holding.hold.value.time.slots : [];
});

// Steps

/** @type {{what: string, key: string} | null} */
let trying = null;

/**
 * @param {string} path
 * @param {Record<string, any>} body
 * @returns {Promise<any>} the answer; undefined where it was refused, and `problem` says why, or where they have gone
 */
async function step(path, body) {
  const asking = link;
  const what = `${path} ${JSON.stringify(body)}`;
  if (trying?.what !== what) trying = { what, key: newKey() };
  working.value = true;
  problem.value = "";
  try {
    const reply = await act(path, body, trying.key);
    trying = null;
    return asking === link ? (reply ?? {}) : undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) trying = null;
    if (asking !== link) return undefined;
    if (error.code === "not-authenticated") user.value = null;
    if (doing.peek()?.kind === "move" && OF_THE_TIME.has(error.code)) holding.took(error.body);
    else problem.value = error.message;
    return undefined;
  } finally {
    working.value = false;
  }
}

const OF_THE_TIME = new Set(["slot-full", "slot-past", "slot-blocked", "slot-closed", "slots-apart", "too-soon", "too-far-ahead", "lock-needed", "lock-lost", "mode-mismatch"]);

/** @param {PatientAppointment} one @param {string} reason */
export async function cancel(one, reason) {
  const open = doing.peek();
  if (!(await step(`/appointments/${one.appointment}/cancel`, reason.trim() ? { reason: reason.trim() } : {}))) return;
  closeIf(open);
  said.value = t("mine.cancelled.said");
}

/** @param {PatientAppointment} one */
export async function move(one) {
  const held = holding.hold.peek();
  const open = doing.peek();
  if (!held || !holding.ready()) return;
  const moved = /** @type {Booked | undefined} */ (await step(`/appointments/${one.appointment}/reschedule`, { slot_ids: held.time.slots, ...(held.token ? { token: held.token } : {}) }));
  if (!moved) return;
  if (holding.hold.peek()?.time.key === held.time.key) holding.forget();
  closeIf(open);
  said.value = moved.state === "pending" ? t("mine.moved.asked") : t("mine.moved.said");
}

/** @param {PatientAppointment} one @param {string} code */
export async function checkIn(one, code) {
  const open = doing.peek();
  const reply = await step(`/appointments/${one.appointment}/check-in`, { code: code.trim() });
  if (!reply) return;
  if (typeof reply.link === "string") {
    kept.set(`callboard.ticket.${reply.token}.${one.appointment}`, reply.link);
    keeping.value += 1;
  }
  closeIf(open);
  said.value = t("mine.checkedin.said", { token: reply.token ?? "" });
}

/** The ticket's own page, where this browser was given its link. @param {PatientAppointment} one */
export function ticketLink(one) {
  void keeping.value;
  const link = one.token ? kept.get(`callboard.ticket.${one.token}.${one.appointment}`) : null;
  // Only ever a way within this house.
  return link && new URL(link, location.href).pathname.startsWith("/t/") ? new URL(link, location.href).pathname : null;
}

/** @param {PatientAppointment} one @param {string} reason */
export async function callForHelp(one, reason) {
  const open = doing.peek();
  const reply = await step("/emergencies", { reason: reason.trim() || t("mine.help.default"), location_id: one.location });
  if (!reply) return;
  help.value = { emergency: reply.emergency_id, by: reply.acknowledged_by, ended: reply.ended };
  closeIf(open);
}

// While help is on its way, the page asks who is coming: a patient has no stream of emergencies.
let looking = 0;
effect(() => {
  clearInterval(looking);
  const open = help.value;
  if (open && !open.ended) looking = setInterval(() => void lookAtHelp(open.emergency), 4_000);
});

/** @param {number} emergency */
async function lookAtHelp(emergency) {
  try {
    const reply = await get(`/emergencies/${emergency}`);
    if (help.peek()?.emergency === emergency) help.value = { emergency, by: reply.acknowledged_by, ended: reply.ended };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

/** Read the next page of what has been. */
export async function readPast() {
  if (working.peek()) return;
  const asking = link;
  const before = past.peek();
  const cursor = before?.next ? `&cursor=${encodeURIComponent(before.next)}` : "";
  try {
    const page = await get(`/appointments/mine?when=past&limit=${PAST}${cursor}`);
    if (asking !== link) return;
    past.value = { items: [...(before?.items ?? []), ...page.items], next: page.next };
    pastProblem.value = "";
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (asking !== link) return;
    if (error.code === "not-authenticated") user.value = null;
    pastProblem.value = error.message;
  }
}

/** @param {Time} time */
export const pick = (time) => void holding.touch(time);
