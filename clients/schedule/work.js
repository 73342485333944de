// @ts-check
/**
 * Owns what the schedule page knows and does: one doctor's weekly schedules, the draft that is being drawn, and the
 * days as they are.
 *
 * Invariant: a draft touches nothing until it is saved; what is there is asked for anew whenever the doctor's slots
 * stream tells of a change.
 *
 * @import {Feed} from "../shared/socket.js"
 * @import {Session} from "./week.js"
 * @typedef {{id: number, location_id: number, starts_on: string, ends_on: string | null, every_weeks: number, week: Session[], holds: boolean}} Weekly
 * @typedef {{id: number, name: string, zone: string}} Spot
 * @typedef {{doctor_id: number, doctor_name: string, items: Weekly[], locations: Spot[]}} Arranged
 * @typedef {{id: number, location_id: number, starts_at: string, ends_at: string, capacity: number, taken: number, mode: string, open: boolean, block_id: number | null}} Slot
 * @typedef {{id: number, doctor_id: number | null, location_id: number | null, kind: string, reason: string | null, starts_at: string, ends_at: string}} Block
 * @typedef {{added: number, removed: number, altered: number, outside: {appointment_id: number, number: string, starts_at: string, patient_name: string, phone: string | null}[]}} Preview
 * @typedef {{id: number | null, location_id: number, starts_on: string, ends_on: string | null, every_weeks: number, week: Session[]}} Draft
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, get, request } from "../shared/api.js";
import { readCatalogue } from "../shared/catalogue.js";
import { coarse } from "../shared/clock.js";
import { connect, disconnect } from "../shared/connection.js";
import { t, zone } from "../shared/i18n.js";
import { user, whileHere } from "../shared/session.js";
import { dayOf, plusDays, weekOf } from "../shared/times.js";
import { hush, say } from "../shared/word.js";

export const doctors = signal(/** @type {{id: number, name: string}[]} */ ([]));
export const arranged = signal(/** @type {Arranged | null} */ (null));
export const draft = signal(/** @type {Draft | null} */ (null));
export const preview = signal(/** @type {Preview | null} */ (null));
export const calendar = signal(/** @type {{slots: Slot[], blocks: Block[]} | null} */ (null));
export const busy = signal(false);
export const shut = signal(false);
/** The sheet that is open, as a function that draws it. */
export const sheet = signal(/** @type {(() => any) | null} */ (null));
export const closeSheet = () => void (sheet.value = null);
/** Close the sheet whose step this is once it is done, unless another one was opened before. @param {Promise<boolean>} done */
export async function closeAfter(done) {
  const mine = sheet.peek();
  if ((await done) && sheet.peek() === mine) closeSheet();
}

const asked = signal(Number(/\/doctor\/(\d+)/.exec(location.hash)?.[1] ?? 0));
addEventListener("hashchange", () => (asked.value = Number(/\/doctor\/(\d+)/.exec(location.hash)?.[1] ?? 0)));
/** @param {number} id */
export const choose = (id) => void (location.hash = `#/doctor/${id}`);

export const isDoctor = computed(() => user.value?.role === "doctor");
export const who = computed(() => (isDoctor.value ? (user.value?.doctor_id ?? 0) : asked.value || (doctors.value[0]?.id ?? 0)));
export const today = computed(() => dayOf(coarse.value, zone.value));
export const day = signal("");
export const days = computed(() => weekOf(day.value || today.value));
/** @param {number} id */
export const spot = (id) => arranged.value?.locations.find((one) => one.id === id) ?? null;

/** Counts those who sat down here: an answer belongs to the one who asked. */
let sitting = 0;
/** Whether somebody has sat down, and what they may choose from is known. */
const ready = signal(false);
let feed = /** @type {Feed | null} */ (null);
let followed = 0;

/** Begin for the one who has signed in. */
export async function begin() {
  const found = await readCatalogue((why) => say({ text: why, kind: "problem" }));
  if (!found) return;
  doctors.value = found.doctors;
  ready.value = true;
}

/** End: somebody else may sit down here. */
export function end() {
  disconnect();
  hush();
  clearTimeout(timer);
  sitting += 1;
  turn += 1;
  busy.value = false;
  feed = null;
  followed = 0;
  ready.value = false;
  doctors.value = [];
  arranged.value = draft.value = preview.value = calendar.value = sheet.value = null;
  shut.value = false;
}

/**
 * Do something whose refusal is told to the one who looks; answers whether it was done.
 * @param {() => Promise<void>} what
 */
async function attempt(what) {
  const mine = sitting;
  try {
    await what();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine !== sitting) return false;
    if (error.code === "not-authenticated") user.value = null;
    else if (error.code === "not-allowed" && !arranged.peek()) shut.value = true;
    else say({ text: error.message, kind: "problem" });
    return false;
  }
}

effect(() => {
  const id = who.value;
  if (!id || !ready.value || id === followed) return;
  followed = id;
  draft.value = preview.value = arranged.value = calendar.value = null;
  shut.value = false;
  feed?.stop();
  feed = connect(() => draft.peek() === null && sheet.peek() === null).follow(`slots:${id}`, () => soon());
});

let timer = 0;
/** Several events of one change are one question. */
function soon() {
  clearTimeout(timer);
  timer = setTimeout(() => void load(), 80);
}

// Of another week nothing is known until it is read.
const monday = computed(() => days.value[0]);
effect(() => {
  if (!monday.value || !who.value || !ready.value) return;
  calendar.value = null;
  soon();
});

let turn = 0;

/** Read anew; the last question's answer counts. */
async function load() {
  const mine = (turn += 1);
  const id = who.peek();
  const [first, last] = [days.peek()[0], days.peek()[6]];
  await attempt(async () => {
    const read = () => (mine === turn ? Promise.all([get(`/doctors/${id}/schedules`), get(`/doctors/${id}/calendar?first_day=${first}&last_day=${last}`)]) : Promise.resolve(null));
    const refused = (/** @type {Problem} */ refusal) => {
      if (mine === turn) throw refusal;
    };
    const found = await whileHere(read, refused);
    if (!found || mine !== turn) return;
    [arranged.value, calendar.value] = found;
  });
}

// The draft

/** Counts what was begun to be drawn: an answer to an older draft says nothing of this one. */
let drawing = 0;

/** Begin to change a schedule, or to draw a new one. @param {Weekly | null} one */
export function edit(one) {
  drawing += 1;
  const place = arranged.peek()?.locations[0];
  if (one) draft.value = { id: one.id, location_id: one.location_id, starts_on: one.starts_on, ends_on: one.ends_on, every_weeks: one.every_weeks, week: one.week };
  else if (place) draft.value = { id: null, location_id: place.id, starts_on: plusDays(today.peek(), 1), ends_on: null, every_weeks: 1, week: [] };
  preview.value = null;
}

/** @param {Partial<Draft>} some */
export function redraw(some) {
  if (!draft.peek()) return;
  draft.value = { .../** @type {Draft} */ (draft.peek()), ...some };
  lookSoon();
}

/** @param {number} nth @param {Session} session */
export const replace = (nth, session) => redraw({ week: (draft.peek()?.week ?? []).map((one, at) => (at === nth ? session : one)) });

let lookTimer = 0;
function lookSoon() {
  clearTimeout(lookTimer);
  preview.value = null;
  lookTimer = setTimeout(() => void look(), 350);
}

export const refusal = signal("");

/** Ask what saving the draft would do. */
async function look() {
  const one = draft.peek();
  if (!one || one.week.length === 0) return;
  const { id, ...rest } = one;
  try {
    const found = await request("POST", `/doctors/${who.peek()}/schedules/preview`, { body: { ...rest, ...(id && { schedule_id: id }) } });
    if (draft.peek() !== one) return;
    preview.value = found;
    refusal.value = "";
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (draft.peek() === one) refusal.value = error.message;
  }
}

/** Save the draft; what was drawn on meanwhile stays, as a change of what is saved by then. */
export async function save() {
  const one = draft.peek();
  if (!one) return;
  const { id, location_id, ...rest } = one;
  const mine = drawing;
  await step(id ? `/schedules/${id}` : `/doctors/${who.peek()}/schedules`, id ? rest : { location_id, ...rest }, "schedule.saved", (reply) => {
    if (mine !== drawing) return;
    if (draft.peek() === one && !sheet.peek()) draft.value = preview.value = null;
    else redraw({ id: id ?? reply.schedule.id });
  });
}

/** Leave the draft as it was never drawn. */
export function discard() {
  draft.value = preview.value = null;
  refusal.value = "";
}

/**
 * One change, with a word on what came of it; answers whether it was done.
 * @param {string} path @param {Record<string, any>} body @param {string} word @param {(reply: any) => void} [then]
 */
export async function step(path, body, word, then) {
  if (busy.peek()) return false;
  busy.value = true;
  const mine = sitting;
  const done = await attempt(async () => {
    const reply = await act(path, body);
    if (mine !== sitting) return;
    say({ text: t(word), kind: "done" });
    then?.(reply);
    await load();
  });
  if (mine === sitting) busy.value = false;
  return done;
}
