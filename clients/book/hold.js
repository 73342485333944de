// @ts-check
/**
 * Owns the time that this page holds for whoever books: taking it, its minutes, losing it, and finding it again after a
 * reload.
 *
 * Invariant: a lock belongs to this page's socket, so it goes when the page goes; its token is kept for this tab alone,
 * and shown to the server again whenever the socket is another one.
 *
 * @import {Link} from "../shared/socket.js"
 * @import {SlotLock} from "../shared/wire.js"
 * @import {Time} from "./days.js"
 * @typedef {"asking" | "held" | "over" | "lost" | "unheld"} State
 *   over: the minutes are; lost: somebody else has it, or it is gone; unheld: nobody can hold times now, staff go on
 * @typedef {{time: Time, state: State, token: string, until: number, extended: boolean, alternatives: readonly Time[], code: string, problem: string}} Hold
 */
import { effect, signal } from "@preact/signals";

import { Problem, sentence } from "../shared/api.js";
import { now, serverNow } from "../shared/clock.js";
import { Refused } from "../shared/socket.js";
import { store } from "../shared/ui.js";
import { timeOf } from "./days.js";

const KEY = "callboard.hold";
const PATIENCE_MS = 8_000;
const brief = store("sessionStorage");

export const hold = signal(/** @type {Hold | null} */ (null));

/** @type {Link | null} */
let link = null;
let mayGoOn = false;
let turn = 0;

/** Hold times over this link. @param {Link} made @param {boolean} staff may book without a lock */
export function holdOver(made, staff) {
  link = made;
  mayGoOn = staff;
  // A socket that is another one than before is unknown to the lock: without a word it ends soon.
  effect(() => void (made.connected.value && claim()));
}

/** Whether the form may be sent as it stands. */
export const ready = () => hold.peek()?.state === "held" || hold.peek()?.state === "unheld";

/** @param {Partial<Hold>} change */
function put(change) {
  const before = hold.peek();
  if (!before) return;
  hold.value = { ...before, ...change };
  keep();
}

function keep() {
  const held = hold.peek();
  brief.set(KEY, held && (held.state === "held" || held.state === "over") ? JSON.stringify({ time: held.time, token: held.token, until: held.until, extended: held.extended }) : null);
}

/** Hold this time, in place of any other. @param {Time} time */
export async function touch(time) {
  const mine = (turn += 1);
  const before = hold.peek();
  hold.value = { time, state: "asking", token: "", until: 0, extended: false, alternatives: [], code: "", problem: "" };
  // One at a time: the server lets the former go by itself where it is the same person's, staff may hold several.
  if (before?.state === "held" && before.token) void end(before);
  try {
    if (!link) return;
    await connected(link);
    const lock = /** @type {SlotLock} */ (await link.ask("lock-slot", { slot_id: time.slots[0], also: time.slots.slice(1) }));
    if (mine !== turn) return void end({ time, token: lock.token });
    put({ state: "held", token: lock.token, until: Date.parse(lock.until), extended: lock.extended });
  } catch (error) {
    if (mine === turn) refused(error);
  }
}

/** A phone that was put away comes back to its network within moments: no reason to refuse. @param {Link} over */
async function connected(over) {
  const patience = Date.now() + PATIENCE_MS;
  while (!over.connected.peek() && Date.now() < patience) await new Promise((done) => setTimeout(done, 100));
}

/** Give it its minutes once more. */
export async function extend() {
  const held = hold.peek();
  if (!held || held.state !== "held" || held.extended || !link) return;
  try {
    const lock = await link.ask("extend-lock", { slot_id: held.time.slots[0], token: held.token });
    if (hold.peek()?.token === held.token) put({ until: Date.parse(lock.until), extended: true });
  } catch (error) {
    const problem = problemOf(error);
    if (hold.peek()?.token !== held.token) return;
    if (problem.code === "lock-lost") put({ state: "over" });
    else put({ extended: true });
  }
}

/** Hold the same time once more, after the minutes were over. */
export const again = () => {
  const held = hold.peek();
  if (held) void touch(held.time);
};

/** Let it go; the form stays. */
export function release() {
  const held = hold.peek();
  turn += 1;
  hold.value = null;
  brief.set(KEY, null);
  if (held?.state === "held") void end(held);
}

/** Forget it without a word: it is booked and its lock has gone with that, or it was somebody else's. */
export function forget() {
  turn += 1;
  hold.value = null;
  brief.set(KEY, null);
}

/** What a refused booking says of the time that was held. @param {import("../shared/wire.js").ProblemBody} problem */
export function took(problem) {
  if (problem.code === "lock-lost" || problem.code === "lock-needed") put({ state: "over", token: "" });
  else lose(problem);
}

/** @param {{time: Time, token: string}} held */
const end = (held) => link?.ask("unlock-slot", { slot_id: held.time.slots[0], token: held.token }).catch(() => {});

/** After a reload: the lock that this tab had, if its time has not come. @returns {Time | null} */
export function found() {
  try {
    const kept = JSON.parse(brief.get(KEY) ?? "null");
    if (!kept?.token || !kept.time) return null;
    const state = kept.until > serverNow() ? "held" : "over";
    hold.value = { ...kept, state, alternatives: [], code: "", problem: "" };
    return kept.time;
  } catch {
    return null;
  }
}

/** Tell the server that this socket, and no longer the one before, is where the lock's holder is. */
async function claim() {
  const held = hold.peek();
  if (held?.state !== "held" || !held.token || !link) return;
  try {
    const lock = /** @type {SlotLock} */ (await link.ask("claim-lock", { token: held.token }));
    if (hold.peek()?.token === held.token) put({ until: Date.parse(lock.until), extended: lock.extended });
  } catch (error) {
    if (problemOf(error).code === "lock-lost" && hold.peek()?.token === held.token) put({ state: "over", token: "" });
  }
}

/** @param {unknown} error */
function problemOf(error) {
  if (error instanceof Refused) return error.problem;
  if (error instanceof Problem) return error.body;
  throw error;
}

/** @param {unknown} error */
function refused(error) {
  const problem = problemOf(error);
  // Times can still be booked by those who work here: PostgreSQL guards the seats.
  if (mayGoOn && problem.code === "locking-unavailable") return put({ state: "unheld", until: 0 });
  if (problem.code === "network") return put({ state: "over", token: "", problem: sentence(problem) });
  lose(problem);
}

/** @param {import("../shared/wire.js").ProblemBody} problem */
function lose(problem) {
  put({ state: "lost", token: "", code: problem.code, problem: sentence(problem), alternatives: (problem.alternatives ?? []).map(timeOf) });
}

effect(() => {
  const held = hold.value;
  if (held?.state === "held" && held.until <= now.value) put({ state: "over" });
});
