// @ts-check
/**
 * Owns what the back office knows and does: one institution as its stream tells it, and every change asked of it.
 *
 * Invariant: what is shown of the institution comes from the stream alone; an answer to a change is only spoken of.
 *
 * @import {Feed} from "../shared/socket.js"
 * @import {AdminDevice, AdminDoctor, AdminInstitution, AdminLocation, AdminQueue, AdminUser} from "../shared/events.js"
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, get, request } from "../shared/api.js";
import { clear } from "../shared/asked.js";
import { connect, disconnect, refused } from "../shared/connection.js";
import { t, zone } from "../shared/i18n.js";
import { resume, user, whileHere } from "../shared/session.js";
import { NONE } from "../shared/socket.js";
import { hush, say } from "../shared/word.js";

/** The institutions that a super_admin can choose from; everybody else has one. */
export const institutions = signal(/** @type {AdminInstitution[] | null} */ (null));
export const chosen = signal(/** @type {number | null} */ (null));
export const pending = signal("");
/** Moves whenever settings changed at any level: whoever shows settings asks for them again. */
export const settingsTurn = signal(0);

/** How often each patient was corrected while this page looked on: whoever shows one asks for them again. */
export const patientTurns = signal(/** @type {ReadonlyMap<number, number>} */ (new Map()));

const feed = signal(/** @type {Feed | null} */ (null));
const rows = computed(() => feed.value?.rows.value ?? NONE);

/**
 * The rows of a kind, in the order of their names.
 * @param {string} kind
 * @returns {any[]}
 */
const all = (kind) => [...rows.value].filter(([key]) => key.startsWith(`${kind}:`)).map(([, row]) => row);
const collator = new Intl.Collator(undefined, { numeric: true });
/** @param {{name: string}} a @param {{name: string}} b */
const byName = (a, b) => collator.compare(a.name, b.name);

export const institution = computed(() => /** @type {AdminInstitution | null} */ (rows.value.get("institution") ?? null));
export const locations = computed(() => /** @type {AdminLocation[]} */ (all("location").sort(byName)));
export const queues = computed(() => /** @type {AdminQueue[]} */ (all("queue").sort(byName)));
export const doctors = computed(() => /** @type {AdminDoctor[]} */ (all("doctor").sort(byName)));
export const users = computed(() => /** @type {AdminUser[]} */ (all("user").sort(byName)));
export const devices = computed(() => /** @type {AdminDevice[]} */ (all("device").sort(byName)));
/** The rows of a kind, by name. @param {string} kind */
export const named = (kind) => all(kind).sort(byName);
/** Who needs help at once, and nobody has answered yet. */
export const emergencies = computed(() => /** @type {import("../shared/events.js").Emergency[]} */ (all("e")));
export const loaded = computed(() => institution.value !== null);

/** @param {string} key */
export const row = (key) => rows.value.get(key) ?? null;

/** The name of a row of the stream, by its key; null when it isn't there (any more). @param {string} key */
export const nameOf = (key) => /** @type {string | null} */ (rows.value.get(key)?.name ?? null);

export const mayAdminister = computed(() => user.value?.role === "admin" || user.value?.role === "super_admin");

effect(() => void (zone.value = institution.value?.zone ?? undefined));

/** Begin for the admin who has signed in. */
export async function begin() {
  if (!mayAdminister.peek()) return;
  if (user.peek()?.institution_id) return follow(/** @type {number} */ (user.peek()?.institution_id));
  const first = (await loadInstitutions())?.[0];
  if (first) follow(first.institution);
}

/** @returns {Promise<AdminInstitution[] | undefined>} nothing where they have gone meanwhile, or are refused */
export async function loadInstitutions() {
  const found = (await whileHere(() => get("/institutions")))?.items;
  if (found) institutions.value = found;
  return found;
}

/** @param {number} id an institution */
export function follow(id) {
  const link = connect(() => pending.peek() === "");
  feed.peek()?.stop();
  chosen.value = id;
  feed.value = link.follow(`admin:${id}`, happened, (problem) => refused(problem, resume));
}

/**
 * @param {import("../shared/wire.js").Envelope[]} events
 * @param {import("../shared/socket.js").How} how
 */
function happened(events, how) {
  if (how !== "live" || events.some((event) => event.type === "settings-changed")) settingsTurn.value++;
  for (const event of events) {
    if (event.type !== "patient-corrected") continue;
    const id = Number(/** @type {any} */ (event.data).record);
    patientTurns.value = new Map(patientTurns.peek()).set(id, (patientTurns.peek().get(id) ?? 0) + 1);
  }
}

/** Counts those who sat down here: an answer belongs to the one who asked. */
let sitting = 0;

/** End: somebody else may sit down here. */
export function end() {
  sitting += 1;
  disconnect();
  hush();
  clear();
  feed.value = null;
  chosen.value = null;
  institutions.value = null;
  pending.value = "";
}

/**
 * Whether asking again makes sense; somebody whose session has ended sees the sign-in.
 * @param {unknown} error
 */
export function retry(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.code === "not-authenticated") user.value = null;
  return error.retryable;
}

/**
 * Ask for one change, and say what became of it.
 * @param {string} name what is under way; with `done`, the text's key ("admin.done.<name>")
 * @param {string} path
 * @param {Record<string, any>} [body]
 * @param {Record<string, string | number>} [values] of the text
 * @param {boolean} [once] its answer holds what is told only once: the server keeps no such answer for a second try
 * @returns {Promise<any>} the answer, or null when it was refused
 */
export async function change(name, path, body = {}, values = {}, once = false) {
  if (pending.peek()) return null;
  const mine = sitting;
  pending.value = name;
  try {
    const reply = await (once ? request("POST", path, { body }) : act(path, body));
    if (mine !== sitting) return null;
    say({ text: t(`admin.done.${name}`, values), kind: "done" });
    return reply ?? {};
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (mine !== sitting) return null;
    if (error.code === "not-authenticated") user.value = null;
    else say({ text: error.message, kind: "problem" });
    return null;
  } finally {
    if (mine === sitting) pending.value = "";
  }
}
