// @ts-check
/**
 * Owns a booking from the first choice to its answer: what is wished for, what is typed, who it is for, what became of it.
 *
 * Invariant: what is typed outlives a lost time, a refusal and a reload, and goes when it is booked or its writer leaves;
 * a booking is made once, however often it is pressed or a connection breaks.
 *
 * @import {AppointmentState, Booked, FoundPatient, Mode} from "../shared/wire.js"
 * @import {Link} from "../shared/socket.js"
 * @import {Time} from "./days.js"
 * @typedef {{reason: string, symptoms: string, needs: readonly string[], source: "reception" | "phone"}} Form
 * @typedef {Pick<FoundPatient, "id" | "name" | "number" | "phone" | "birth_date" | "birth_year">} Somebody
 * @typedef {Booked & {time: Time, mode: Mode, moved: boolean, stays: boolean, patient: string}} Done
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, newKey } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";
import { disconnect } from "../shared/connection.js";
import { whomFor } from "../shared/forwhom.js";
import { user } from "../shared/session.js";
import { store } from "../shared/ui.js";
import { catalogue, doctorsOf, locationBy, modesOf, typeBy, typesOf, zoneAt } from "./catalogue.js";
import { local } from "./days.js";
import * as holding from "./hold.js";
import { connect } from "./link.js";
import { asked, immovable, leave, load, moving, reading } from "./moving.js";
import { go, place } from "./route.js";
import { Times } from "./times.js";

const KEY = "callboard.booking";
const brief = store("sessionStorage");

/** @type {Form} */
const EMPTY = { reason: "", symptoms: "", needs: [], source: "reception" };

export const form = signal(EMPTY);
export const patient = signal(/** @type {Somebody | null} */ (null));
export const type = signal(/** @type {number | null} */ (null));
export const mode = signal(/** @type {Mode} */ ("in_person"));
export const branch = signal(/** @type {number | null} */ (null));
export const day = signal("");
export const working = signal(false);
export const problem = signal("");
/** Staff may insist on what was refused. */
export const insistable = signal(false);
export const done = signal(/** @type {Done | null} */ (null));
/** What the streams tell of the appointment that was just made. */
export const answer = signal(/** @type {{state: AppointmentState, reason: string | null, doctor: string | null} | null} */ (null));
export const times = signal(/** @type {Times | null} */ (null));

export const staff = computed(() => Boolean(user.value && user.value.role !== "patient"));
/** The doctors whom the choice in the address is about. */
export const doctors = computed(() => (place.value.step === "choose" ? [] : doctorsOf(place.value)));
export const types = computed(() => typesOf(doctors.value));

/** @type {Link | null} */
let link = null;

/** Begin for the one who has signed in. */
export function begin() {
  restored();
  holding.found();
  const made = (link = connect(() => holding.hold.peek() === null && !typed() && done.peek() === null));
  holding.holdOver(made, staff.peek());
  times.value = new Times(made);
  keep();
  const id = asked();
  if (id !== null) void load(id).then(lookForAnother);
}

/** The times of the same doctor come first; another one is a step back. */
function lookForAnother() {
  const one = moving.peek();
  if (!one) return;
  mode.value = one.mode;
  if (place.peek().step !== "choose") return;
  if (one.doctor) go({ step: "times", doctor: one.doctor }, { replace: true });
  else if (one.specialty) go({ step: "times", specialty: one.specialty }, { replace: true });
}

/** End: somebody else may use this browser after them. */
export function end() {
  if (!link) return;
  holding.release();
  times.peek()?.stop();
  disconnect();
  link = null;
  times.value = null;
  catalogue.value = null;
  done.value = answer.value = patient.value = moving.value = null;
  working.value = reading.value = insistable.value = false;
  problem.value = immovable.value = "";
  form.value = EMPTY;
  brief.set(KEY, null);
}

const typed = () => form.peek().reason !== "" || form.peek().symptoms !== "";

/** What was chosen and typed before a reload; by somebody else, nothing. And whom the desk has just come here for. */
function restored() {
  try {
    restoredForm();
    const come = whomFor();
    if (come && staff.peek()) patient.value = come;
  } catch {
    // Nothing that could be read: begin anew.
  }
}

function restoredForm() {
  const kept = JSON.parse(brief.get(KEY) ?? "null");
  if (kept?.user !== user.peek()?.id) return holding.forget();
  form.value = { ...EMPTY, ...kept.form };
  type.value = kept.type;
  mode.value = kept.mode;
  patient.value = kept.patient;
}

function keep() {
  const kept = { user: user.value?.id, form: form.value, type: type.value, mode: mode.value, patient: patient.value };
  if (kept.user && link) brief.set(KEY, JSON.stringify(kept));
}
effect(keep);

/** @param {Partial<Form>} change */
export const fill = (change) => void (form.value = { ...form.peek(), ...change });

/** @param {string} need */
export const toggle = (need) => {
  const { needs } = form.peek();
  fill({ needs: needs.includes(need) ? needs.filter((one) => one !== need) : [...needs, need] });
};

// What is wished for

// A visit type that these doctors do not take, or a way it is not done, gives way to one that is.
effect(() => {
  const offered = types.value;
  if (moving.value || offered.length === 0 || offered.some((one) => one.id === type.value)) return;
  type.value = offered[0]?.id ?? null;
});
export const modes = computed(() => modesOf(typeBy(type.value)?.mode ?? "both"));
effect(() => {
  if (!moving.value && !modes.value.includes(mode.value)) mode.value = modes.value[0] ?? "in_person";
});
effect(() => {
  if (branch.value && !doctors.value.some((one) => one.location_ids.includes(branch.value ?? 0))) branch.value = null;
});

// The times follow the wish.
effect(() => {
  const shown = times.value;
  const ids = doctors.value.map((one) => one.id);
  const one = moving.value;
  const wish = one
    ? { doctors: ids, type: one.type, mode: one.mode, location: null, minutes: Math.round((one.end - one.start) / 60_000) }
    : { doctors: ids, type: type.value, mode: mode.value, location: branch.value };
  // Of an appointment that is yet to be read, nobody knows how long the visit is.
  if (!one && asked() !== null && done.value === null) return;
  if (!shown || ids.length === 0) return void shown?.stop();
  void shown.seek(wish);
});
effect(() => {
  const shown = times.value;
  if (shown) shown.mine.value = holding.hold.value?.state === "held" ? holding.hold.value.time.slots : [];
});
// The day shown is one of the week shown: the one chosen, else the first with a free time.
effect(() => {
  const days = times.value?.days.value;
  if (!days || days.has(day.value) && ((days.get(day.value)?.length ?? 0) > 0 || chosenByHand)) return;
  const first = [...days].find(([, list]) => list.some((one) => one.free > 0)) ?? [...days][0];
  if (first) day.value = first[0];
});
let chosenByHand = false;

/** @param {string} which */
export function showDay(which) {
  chosenByHand = true;
  day.value = which;
}

/** @param {number} by weeks */
export function showWeek(by) {
  chosenByHand = false;
  times.peek()?.turnTo(by);
}

/** Show the week in which this time is, and its day. @param {Time} time */
export function showTime(time) {
  const shown = times.peek();
  const at = local(time.start, zoneAt(time.location)).day;
  chosenByHand = true;
  day.value = at;
  if (shown?.wish && !shown.days.peek().has(at)) void shown.seek(shown.wish, at);
}

/** Hold this time and go on to the last step. @param {Time} time */
export function pick(time) {
  problem.value = "";
  insistable.value = false;
  void holding.touch(time);
  if (place.peek().step !== "form") go({ ...place.peek(), step: "form" });
}

/** Free times near to the one that was lost: those the refusal named, else the nearest that are shown. */
export function others() {
  const held = holding.hold.value;
  const shown = times.value;
  if (!held || !shown) return [];
  const offered = held.alternatives.length > 0 ? held.alternatives : [...shown.days.value.values()].flat().map((one) => one.time);
  const start = held.time.start;
  return [...new Map(offered.map((one) => [one.start, one])).values()]
    .filter((one) => one.key !== held.time.key && one.start > serverNow() && shown.standing(one).free > 0)
    .sort((a, b) => Math.abs(a.start - start) - Math.abs(b.start - start))
    .slice(0, 3)
    .sort((a, b) => a.start - b.start);
}

// Booking

/** @type {{what: string, key: string} | null} */
let trying = null;

/** What is asked for: another time for an appointment that is there. @param {holding.Hold} held @param {import("./moving.js").Moving} one @param {boolean} insist */
function move(held, one, insist) {
  const at = place.peek();
  const doctor = at.step !== "choose" && at.doctor ? { doctor_id: at.doctor } : {};
  return { path: `/appointments/${one.id}/reschedule`, body: { slot_ids: held.time.slots, ...doctor, ...(held.token ? { token: held.token } : {}), ...(staff.peek() && insist ? { insist } : {}) } };
}

/** What is asked for: a new appointment. @param {holding.Hold} held @param {boolean} insist */
function anAppointment(held, insist) {
  const at = place.peek();
  const { reason, symptoms, needs, source } = form.peek();
  const body = {
    slot_ids: held.time.slots,
    ...(at.step === "choose" ? {} : at.doctor ? { doctor_id: at.doctor } : { specialty_id: at.specialty }),
    ...(type.peek() ? { visit_type_id: type.peek() } : {}),
    mode: mode.peek(),
    ...(reason.trim() ? { reason: reason.trim() } : {}),
    ...(symptoms.trim() ? { symptoms: symptoms.trim() } : {}),
    requirements: [...needs],
    ...(held.token ? { token: held.token } : {}),
    ...(staff.peek() ? { patient_id: patient.peek()?.id, source, ...(insist ? { insist } : {}) } : {}),
  };
  return { path: "/appointments", body };
}

/** Book the time that is held. @param {{insist?: boolean}} [how] */
export async function book({ insist = false } = {}) {
  const held = holding.hold.peek();
  const at = place.peek();
  const one = moving.peek();
  if (working.peek() || !held || !holding.ready() || at.step === "choose") return;
  // Who came to move an appointment must never end up with a second one.
  if (!one && asked() !== null) return;
  const { path, body } = one ? move(held, one, insist) : anAppointment(held, insist);
  const what = JSON.stringify([path, body]);
  if (trying?.what !== what) trying = { what, key: newKey() };
  // As it was asked for: whoever waits for the answer may choose on, or leave.
  const [asking, way, whom] = [link, mode.peek(), one?.patient || (patient.peek()?.name ?? user.peek()?.name ?? "")];
  working.value = true;
  problem.value = "";
  try {
    const reply = /** @type {Booked} */ (await act(path, body, trying.key));
    trying = null;
    if (asking !== link) return;
    became({ ...reply, time: held.time, mode: way, moved: one !== null, stays: one !== null && reply.state === "pending" && one.stands && (held.time.end <= one.start || held.time.start >= one.end), patient: whom });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (!error.retryable) trying = null;
    if (asking === link) refused(error);
  } finally {
    if (asking === link) working.value = false;
  }
}

/** Refusals of the time, for which another one helps. */
const OF_THE_TIME = new Set(["slot-full", "slot-past", "slot-blocked", "slot-closed", "slots-apart", "too-soon", "too-far-ahead", "lock-needed", "lock-lost", "not-found", "mode-mismatch"]);

/** @param {Problem} error */
function refused(error) {
  insistable.value = staff.peek() && (error.code === "patient-elsewhere" || error.code === "too-many-appointments");
  if (error.code === "not-authenticated") user.value = null;
  else if (OF_THE_TIME.has(error.code)) holding.took(error.body);
  else problem.value = error.message;
}

/** @param {Done} made */
function became(made) {
  holding.forget();
  leave();
  done.value = made;
  answer.value = null;
  form.value = EMPTY;
  insistable.value = false;
  listen(made);
}

/** @type {import("../shared/socket.js").Feed | null} */
let feed = null;

/** Follow what becomes of it: the patient on their own stream, those who work there on its doctor's. @param {Done} made */
function listen(made) {
  feed?.stop();
  const who = user.peek();
  const stream = who?.patient_id ? `patient:${who.patient_id}` : `doctor:${made.doctor_id ?? made.time.doctor}`;
  const key = `a:${made.appointment_id}`;
  feed =
    link?.follow(stream, (_events, _how, sub) => {
      const row = sub.rows.get(key);
      if (row) answer.value = { state: row.state, reason: row.answer_reason ?? row.cancel_reason ?? null, doctor: row.doctor_name ?? null };
    }, () => {
      // Not theirs to follow, as of another doctor's: what was answered stands.
      feed?.stop();
    }) ?? null;
}

/** Back to the beginning, for the next appointment. */
export function anew() {
  feed?.stop();
  feed = null;
  done.value = answer.value = null;
  leave();
  if (staff.peek()) patient.value = null;
  chosenByHand = false;
  go({ step: "choose" });
}

/** The locations that these doctors work at, where there are several. */
export const branches = computed(() => {
  const ids = [...new Set(doctors.value.flatMap((one) => one.location_ids))];
  return ids.length > 1 ? ids.flatMap((id) => locationBy(id) ?? []) : [];
});
