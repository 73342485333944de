// @ts-check
/**
 * Owns registering somebody at the desk: found while their name is typed, or new; then a ticket; then the next one.
 *
 * Invariant: a patient is made, and a ticket given, once, however often Enter is pressed or a cable is cut: the same
 * request keeps its key until it is answered.
 *
 * @import {FoundPatient, Slip, Urgency} from "../shared/wire.js"
 * @typedef {"find" | "details" | "twins" | "slip"} Phase
 * @typedef {Slip & {name: string, doctor: string | null}} Given
 * @typedef {{name: string, phone: string, birth: string, urgency: Urgency, needs: readonly string[], reason: string, queue: number | null}} Form
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, newKey, request } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";
import { has, t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { store, titled } from "../shared/ui.js";
import { birthIn } from "./birth.js";
import { busy as reloadWaits, columns, find, here, location, overview } from "./desk.js";

const PAUSE_MS = 120;
const RESULTS = 8;
/** A match that fits less well stands there to be seen; Enter doesn't take it. */
const SURE = 0.55;
/** As the server takes phones. */
export const PHONE = /^\+?\p{Nd}[\p{Nd} ()./-]{2,38}$/u;
/** What somebody may need; kept as these words in every language. */
export const NEEDS = ["wheelchair", "hearing", "sight", "interpreter", "companion"];

const kept = store();

/** @returns {Form} */
const empty = () => ({ name: "", phone: "", birth: "", urgency: "routine", needs: [], reason: "", queue: lastQueue() });

export const phase = signal(/** @type {Phase} */ ("find"));
export const text = signal("");
export const results = signal(/** @type {readonly FoundPatient[]} */ ([]));
/** What the results answer; another text than `text` while somebody types. */
export const asked = signal("");
/** The option that Enter takes; one behind the results is "new". */
export const active = signal(0);
export const patient = signal(/** @type {{id: number, name: string, number: string | null, phone: string | null, birth_date: string | null, birth_year: number | null} | null} */ (null));
export const form = signal(/** @type {Form} */ (empty()));
export const problem = signal(/** @type {{text: string, field: string} | null} */ (null));
export const working = signal(false);
export const twins = signal(/** @type {readonly FoundPatient[]} */ ([]));
export const slip = signal(/** @type {Given | null} */ (null));
/** Tickets whose new link came while somebody was being registered: they wait until they are looked at. */
export const ready = signal(/** @type {readonly Given[]} */ ([]));
/** The one of them that is looked at, over whatever was begun. */
export const looked = signal(/** @type {Given | null} */ (null));
export const searchFailed = signal("");

/** Tickets at this location that somebody known has already. */
export const holding = computed(() => {
  const id = patient.value?.id;
  return columns.value.flatMap((one) => [...one.waiting, ...one.rooms, ...one.held].filter((ticket) => ticket.patient.id === id).map((ticket) => ({ token: ticket.token, queue: titled(one.item.name, one.item.doctor)[0] })));
});

/** Options below the search: those found, and somebody new. */
export const options = computed(() => (text.value.trim() ? results.value.length + 1 : 0));

effect(() => void (reloadWaits.value = phase.value !== "find" || text.value !== "" || ready.value.length > 0));
// A location chosen anew has other queues.
effect(() => {
  const ids = here.value.map((one) => one.id);
  const { queue } = form.peek();
  if (ids.length > 0 && (queue === null || !ids.includes(queue))) form.value = { ...form.peek(), queue: lastQueue() };
});

/** The queue that was joined last from here, else the first that takes people in. */
function lastQueue() {
  const all = here.peek();
  const remembered = Number(kept.get(`callboard.joined.${location.peek()}`));
  return (all.find((one) => one.id === remembered) ?? all.find((one) => one.state !== "closed") ?? all[0])?.id ?? null;
}

// Finding

let searching = 0;
let searchTimer = 0;
/** Whether the option was chosen by the arrows, rather than being the one that fits best. */
let byHand = false;

/** @param {string} typed */
export function type(typed) {
  text.value = typed;
  searchFailed.value = "";
  byHand = false;
  clearTimeout(searchTimer);
  searching += 1;
  if (!typed.trim()) {
    results.value = [];
    asked.value = "";
    active.value = 0;
  } else searchTimer = setTimeout(search, PAUSE_MS);
}

/** Whoever stands above the institutions says in which one they are looking: the one of the chosen location. */
const house = () => (user.peek()?.institution_id === null ? { institution_id: here.peek()[0]?.institution_id } : {});

async function search() {
  clearTimeout(searchTimer);
  const turn = (searching += 1);
  const q = text.peek().trim().slice(0, 200);
  if (!q) return;
  try {
    const found = await request("POST", "/patients/search", { body: { q, limit: RESULTS, ...house() } });
    if (turn !== searching) return;
    show(found.items);
  } catch (error) {
    if (turn !== searching) return;
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
    show([]);
    searchFailed.value = error.message;
  }
  asked.value = q;
}

/** Show who was found; whom the arrows stand on keeps the choice, and so does "new". @param {readonly FoundPatient[]} found */
function show(found) {
  const chosen = results.peek()[active.peek()];
  const at = chosen ? found.findIndex((one) => one.id === chosen.id) : found.length;
  byHand = byHand && at >= 0;
  results.value = found;
  active.value = byHand ? at : (found[0]?.score ?? 0) < SURE ? found.length : 0;
}

/** Move the choice by one, around the end. @param {number} by */
export function choose(by) {
  active.value = (active.peek() + by + options.peek()) % Math.max(1, options.peek());
  byHand = results.peek().length > 0;
}

/**
 * Take what is chosen. What has not been looked for yet is looked for first, so that nobody is registered twice in
 * haste; but whom the arrows stand on is the one who is meant, whoever else is found.
 */
export async function take() {
  if (!text.peek().trim()) return;
  const meant = byHand ? results.peek()[active.peek()] : undefined;
  if (meant) return known(meant);
  const hand = byHand;
  if (asked.peek() !== text.peek().trim()) await search();
  // Chosen otherwise meanwhile: by a press, by the arrows, or by typing on.
  if (phase.peek() !== "find" || byHand !== hand || !asked.peek() || asked.peek() !== text.peek().trim()) return;
  const found = results.peek()[active.peek()];
  if (found) known(found);
  else fresh();
}

/** @param {FoundPatient} found */
export function known(found) {
  patient.value = found;
  problem.value = null;
  phase.value = "details";
}

/** The text becomes somebody new: mostly a name, but whoever looked for a phone or a birth has typed that. */
export function fresh() {
  const typed = text.peek().trim();
  const born = birthIn(typed, serverNow());
  const birth = born && ("birth_year" in born || "birth_date" in born) ? typed : "";
  const phone = !birth && PHONE.test(typed) ? typed : "";
  patient.value = null;
  problem.value = null;
  form.value = { ...form.peek(), name: birth || phone ? "" : typed, birth, phone };
  phase.value = "details";
}

/** @param {Partial<Form>} change */
export const fill = (change) => void (form.value = { ...form.peek(), ...change });

/** @param {string} need */
export const toggle = (need) => {
  const { needs } = form.peek();
  fill({ needs: needs.includes(need) ? needs.filter((one) => one !== need) : [...needs, need] });
};

/** One step back: from the ticket to the next person, from the form to the search, from the search to nothing. */
export function back() {
  if (working.peek()) return;
  if (phase.peek() === "twins") phase.value = "details";
  else if (phase.peek() === "details") phase.value = "find";
  else restart();
  problem.value = null;
}

/** Ready for the next person. */
export function restart() {
  if (working.peek()) return;
  phase.value = "find";
  type("");
  patient.value = slip.value = problem.value = null;
  twins.value = [];
  form.value = empty();
}

/** Nothing is left for whoever sits down next, nor comes of what is still to be answered. */
export function abandon() {
  sitting += 1;
  working.value = false;
  restart();
  renewing.clear();
  ready.value = [];
  looked.value = null;
}

// Registering

/** Counts those who sat down here: an answer belongs to the one who asked. */
let sitting = 0;
/** @type {Map<string, string>} */
const keys = new Map();

/**
 * @param {string} path
 * @param {Record<string, any>} body
 */
async function once(path, body) {
  const what = `${path} ${JSON.stringify(body)}`;
  const key = keys.get(what) ?? newKey();
  keys.set(what, key);
  try {
    const reply = await act(path, body, key);
    keys.delete(what);
    return reply;
  } catch (error) {
    // An answer, if not the one hoped for: the next try is another one.
    if (error instanceof Problem && !error.retryable) keys.delete(what);
    throw error;
  }
}

/** Give a ticket; somebody new is registered first. @param {boolean} [confirmed] no candidate is the same person */
export async function submit(confirmed = false) {
  if (working.peek()) return;
  const wrong = patient.peek() ? null : fault();
  problem.value = wrong;
  if (wrong || form.peek().queue === null) return;
  const mine = sitting;
  working.value = true;
  try {
    if (!patient.peek()) await enrol(confirmed);
    if (mine === sitting) await join();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine !== sitting) return;
    if (error.code === "not-authenticated") user.value = null;
    else if (error.code === "possible-duplicate") {
      twins.value = error.body.candidates ?? [];
      phase.value = "twins";
    } else tell(error);
  } finally {
    if (mine === sitting) working.value = false;
  }
}

/** What is wrong with the form, before the server is asked. */
function fault() {
  const { name, phone, birth } = form.peek();
  if (!name.trim()) return { text: t("reception.wrong.name"), field: "name" };
  if (phone.trim() && !PHONE.test(phone.trim())) return { text: t("reception.wrong.phone"), field: "phone" };
  if (birthIn(birth, serverNow()) === null) return { text: t("reception.wrong.birth"), field: "birth" };
  return null;
}

/** The field that the server does not take as it is, and what is to be done; null for any other refusal. @param {Problem} error */
export function faultIn(error) {
  const pointer = String(error.body.errors?.[0]?.pointer ?? "");
  const field = pointer.includes("phone") ? "phone" : pointer.includes("birth") ? "birth" : pointer.includes("name") ? "name" : "";
  const key = `reception.wrong.${field}`;
  return error.code === "invalid-request" && field && has(key) ? { text: t(key), field } : null;
}

/** @param {Problem} error */
function tell(error) {
  problem.value = faultIn(error) ?? { text: error.message, field: "" };
  if (phase.peek() === "twins") phase.value = "details";
}

/** @param {boolean} confirmed */
async function enrol(confirmed) {
  const { name, phone, birth } = form.peek();
  const body = { name: name.trim(), ...(phone.trim() ? { phone: phone.trim() } : {}), ...birthIn(birth, serverNow()), ...(confirmed ? { confirm_new: true } : {}), ...house() };
  const mine = sitting;
  const reply = await once("/patients", body);
  if (mine !== sitting) return;
  // From here on they are known: if the queue refuses them, they are not registered once more.
  patient.value = reply.patient;
}

async function join() {
  const who = patient.peek();
  const { urgency, needs, reason, queue } = form.peek();
  if (!who || queue === null) return;
  const body = { patient_id: who.id, urgency, requirements: [...needs], ...(reason.trim() ? { reason: reason.trim() } : {}) };
  const mine = sitting;
  const joined = await once(`/queues/${queue}/tickets`, body);
  if (mine !== sitting) return;
  kept.set(`callboard.joined.${location.peek()}`, String(queue));
  const item = here.peek().find((one) => one.id === queue);
  const [title, doctor] = titled(item?.name ?? "", item?.doctor ?? null);
  const { institution = "", location: place = item?.location ?? "" } = overview.peek() ?? {};
  slip.value = { ...joined, queue: title, doctor, name: who.name, institution, location: place, joined_at: new Date(serverNow()).toISOString() };
  phase.value = "slip";
}

/** @type {Set<number>} */
const renewing = new Set();

/** What registering has come to: whoever goes on with it is not interrupted. */
const standing = () => [phase.peek(), text.peek(), patient.peek(), form.peek(), slip.peek()];

/**
 * Give a ticket a new link, and show it as when it was given; or keep it ready where somebody has begun to register
 * meanwhile. The old link is dead by then, so it must not be lost.
 * @param {number} ticket
 */
export async function renew(ticket) {
  // Of two, the one that is answered last need not be the one that holds.
  if (renewing.has(ticket)) return;
  const found = find(ticket);
  const mine = sitting;
  const before = standing();
  renewing.add(ticket);
  try {
    const made = /** @type {Slip} */ (await act(`/tickets/${ticket}/link`));
    if (mine !== sitting) return;
    const item = columns.peek().find((one) => one.id === found?.column.id)?.item;
    const [title, doctor] = titled(made.queue, item?.doctor ?? null);
    const gone = working.peek() || standing().some((one, at) => one !== before[at]);
    hand({ ...made, queue: title, doctor, name: found?.ticket.patient.name ?? "" }, gone);
  } catch (error) {
    // What was refused to one is not told to the next.
    if (!(error instanceof Problem) || mine === sitting) throw error;
  } finally {
    if (mine === sitting) renewing.delete(ticket);
  }
}

/** @param {Given} given @param {boolean} later whether it waits until it is asked for */
function hand(given, later) {
  ready.value = ready.peek().filter((one) => one.ticket_id !== given.ticket_id);
  if (later) ready.value = [...ready.peek(), given];
  else if (phase.peek() === "slip" || (phase.peek() === "find" && !text.peek())) {
    slip.value = given;
    phase.value = "slip";
  } else looked.value = given;
}

/** Look at a link that waits. @param {Given} given */
export function look(given) {
  ready.value = ready.peek().filter((one) => one !== given);
  looked.value = given;
}

// The paper

export const PAPERS = /** @type {const} */ (["58", "80"]);
export const paper = signal(kept.get("callboard.paper") === "58" ? "58" : "80");

/** @param {string} width millimetres */
export function usePaper(width) {
  paper.value = width;
  kept.set("callboard.paper", width);
}
