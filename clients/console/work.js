// @ts-check
/**
 * Owns the work at one desk: which queue, who waits, who is in the room, and every step the doctor takes.
 *
 * Invariant: what is shown comes from the streams alone; a step only says that it is under way, and what was refused.
 *
 * @import {Emergency} from "../shared/events.js"
 * @import {Feed} from "../shared/socket.js"
 * @import {ShownBoard, QueueItem, StaffQueue, StaffTicket, Stats} from "../shared/wire.js"
 * @typedef {{queue: number, desk: number}} Place
 */
import { computed, signal } from "@preact/signals";

import { Problem, act, get, request } from "../shared/api.js";
import { now } from "../shared/clock.js";
import { connect, disconnect, refused, stale } from "../shared/connection.js";
import { clockTime, has, t } from "../shared/i18n.js";
import { readQueues } from "../shared/queues.js";
import { user } from "../shared/session.js";
import { NONE } from "../shared/socket.js";
import { store } from "../shared/ui.js";
import { hush, say, toast } from "../shared/word.js";

/** A board that hasn't shown a call by then is named. */
const LATE_MS = 4_000;
/** After a call the button rests for a moment: a bouncing finger must not call two. */
const REST_MS = 350;
const STATS_MS = 30_000;

const kept = store();

export const queues = signal(/** @type {QueueItem[] | null} */ (null));
export const place = signal(/** @type {Place | null} */ (null));
export const choosing = signal(false);
/** The step under way. */
export const pending = signal(/** @type {{name: string, ticket: number | null} | null} */ (null));
export const stats = signal(/** @type {Stats | null} */ (null));
export const demo = signal(/** @type {{state: "playing" | "paused", speed: number} | null} */ (null));

const staffFeed = signal(/** @type {Feed | null} */ (null));
const shownFeed = signal(/** @type {Feed | null} */ (null));
const doctorFeed = signal(/** @type {Feed | null} */ (null));

const rows = computed(() => staffFeed.value?.rows.value ?? NONE);

/** Who needs help at once, as this doctor is told. */
export const emergencies = computed(() =>
  /** @type {Emergency[]} */ ([...(doctorFeed.value?.rows.value ?? NONE)].filter(([key]) => key.startsWith("e:")).map(([, row]) => row)),
);

export const queueItem = computed(() => queues.value?.find((queue) => queue.id === place.value?.queue) ?? null);
export const deskName = computed(() => queueItem.value?.desks.find((desk) => desk.id === place.value?.desk)?.name ?? "");
export const queue = computed(() => /** @type {StaffQueue | null} */ (rows.value.get("queue") ?? null));
/** Whether the queue's state is here at all. */
export const loaded = computed(() => queue.value !== null);

const tickets = computed(() =>
  /** @type {StaffTicket[]} */ ([...rows.value].filter(([key]) => key.startsWith("t:")).map(([, row]) => row)),
);
export const waiting = computed(() =>
  tickets.value.filter((ticket) => ticket.state === "waiting").sort((a, b) => a.rank - b.rank || a.ticket - b.ticket),
);
export const held = computed(() => tickets.value.filter((ticket) => ticket.state === "on_hold"));
const active = computed(() => tickets.value.filter((ticket) => ticket.state === "called" || ticket.state === "in_consultation"));
/** Who has been called to this desk, or is in its room. One called comes first: that is who must be dealt with. */
export const mine = computed(
  () =>
    active.value
      .filter((ticket) => ticket.desk_id === place.value?.desk)
      .sort((a, b) => Number(b.state === "called") - Number(a.state === "called"))[0] ?? null,
);
export const others = computed(() => active.value.filter((ticket) => ticket.desk_id !== place.value?.desk));

/** How many boards have shown the last call of this desk, and which have not though they should. */
export const shown = computed(() => {
  const call = mine.value?.call;
  if (!call) return null;
  const boards = [...rows.value].filter(([key]) => key.startsWith("board:")).map(([, row]) => row);
  const marks = shownFeed.value?.rows.value ?? NONE;
  const age = now.value - Date.parse(call.at);
  const missing = boards.filter((board) => {
    const mark = /** @type {ShownBoard | undefined} */ (marks.get(`d:${board.device}`));
    return !mark || mark.shown < call.version;
  });
  return {
    total: boards.length,
    shown: boards.length - missing.length,
    late: age >= LATE_MS ? missing.map((board) => /** @type {string} */ (board.name)) : [],
  };
});

/** Begin for the one who has signed in: their queues, the remembered place, the link. */
export async function begin() {
  queues.value = null;
  if (!(await loadQueues())) return;
  const remembered = recall();
  if (remembered) take(remembered);
  else {
    place.value = null;
    choosing.value = true;
  }
  void loadDemo();
}

/** End: somebody else may sit down here. */
export function end() {
  disconnect();
  hush();
  staffFeed.value = shownFeed.value = doctorFeed.value = null;
  place.value = queues.value = stats.value = pending.value = null;
  choosing.value = false;
}

/** Answers whether whoever asked is still here. */
async function loadQueues() {
  const found = await readQueues();
  if (found) queues.value = found;
  return found !== undefined;
}

/** @returns {Place | null} the remembered place, if it is still there */
function recall() {
  try {
    const found = JSON.parse(kept.get("callboard.place") ?? "null");
    const item = queues.peek()?.find((queue) => queue.id === found?.queue);
    if (item?.desks.some((desk) => desk.id === found.desk)) return { queue: found.queue, desk: found.desk };
  } catch {
    // Not ours, or from before: ask again.
  }
  return null;
}

/** Work this queue from this desk. @param {Place} where */
export function take(where) {
  const before = place.peek();
  place.value = where;
  choosing.value = false;
  kept.set("callboard.place", JSON.stringify(where));
  const link = connect(() => pending.peek() === null);
  const own = user.peek()?.doctor_id;
  if (own) doctorFeed.value ??= link.follow(`doctor:${own}`);
  if (before?.queue === where.queue && staffFeed.peek()) return;
  staffFeed.peek()?.stop();
  shownFeed.peek()?.stop();
  stats.value = null;
  staffFeed.value = link.follow(`staff:${where.queue}`, (events) => events.length > 0 && statsSoon(), (problem) => refused(problem, () => void loadQueues().then((here) => here && (choosing.value = true))));
  shownFeed.value = link.follow(`shown:${where.queue}`);
  void loadStats();
}

let statsTimer = 0;
const statsSoon = () => {
  clearTimeout(statsTimer);
  statsTimer = setTimeout(loadStats, 1_500);
};

async function loadStats() {
  const where = place.peek();
  if (!where || !user.peek()) return;
  try {
    const found = await get(`/queues/${where.queue}/stats`);
    if (place.peek()?.queue === where.queue) stats.value = found;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}
setInterval(loadStats, STATS_MS);

async function loadDemo() {
  try {
    demo.value = await get("/demo/replay");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    demo.value = null;
  }
}
setInterval(() => demo.peek() && loadDemo(), STATS_MS);

/**
 * Take one step: pending until answered, then a word on what happened, or why not.
 * @param {string} name the step, as in the texts ("done.<name>")
 * @param {string} path
 * @param {Record<string, any>} [body]
 * @param {{ticket?: number | null, token?: string, undoable?: boolean, values?: Record<string, string>}} [about]
 * @returns {Promise<boolean>} whether it was done
 */
export async function step(name, path, body = {}, { ticket = null, token = "", undoable = true, values = {} } = {}) {
  if (pending.peek()) return false;
  pending.value = { name, ticket };
  try {
    const reply = await act(path, body);
    const row = /** @type {StaffTicket | undefined} */ (reply?.ticket);
    say({ text: t(`done.${name}`, { token: row?.token ?? token, ...values }), kind: "done", undo: undoable && row?.undo ? row.ticket : null });
    statsSoon();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
    else say({ text: error.message, kind: "problem", undo: null });
    return false;
  } finally {
    pending.value = null;
  }
}

/** "Call next" has just been pressed. */
export const resting = signal(false);

/** Why "call next" can't be pressed now, or "" when it can. */
export const blocked = computed(() => {
  if (!loaded.value) return t("link.connecting");
  if (queue.value?.state === "paused") return t("console.callnext.paused");
  if (mine.value?.state === "called" && queue.value?.settings.call_next_completes === false) return t("console.callnext.desk", { token: mine.value.token });
  if (waiting.value.length === 0) return t("console.callnext.nobody");
  return "";
});

export async function callNext() {
  const where = place.peek();
  if (!where || pending.peek() || resting.peek()) return;
  // Pressed in vain, it says why; with the link gone the page may be behind, so the server decides.
  if (blocked.peek() && !stale.peek()) return say({ text: blocked.peek(), kind: "problem", undo: null });
  if (!(await step("call-next", `/queues/${where.queue}/call-next`, { desk_id: where.desk }))) return;
  resting.value = true;
  setTimeout(() => (resting.value = false), REST_MS);
}

/**
 * A step of one ticket.
 * @param {string} name
 * @param {StaffTicket} ticket
 * @param {Record<string, any>} [body]
 */
export const ticketStep = (name, ticket, body = {}) =>
  step(name, `/tickets/${ticket.ticket}/${name}`, body, { ticket: ticket.ticket, token: ticket.token, undoable: name !== "recall" });

/** Take back the last step: the one just spoken of, else that of the patient in the room. */
export function undo() {
  const id = toast.peek()?.undo ?? (mine.peek()?.undo ? mine.peek()?.ticket : null);
  if (!id) return say({ text: t("problem.nothing-to-undo"), kind: "problem", undo: null });
  void step("undo", `/tickets/${id}/undo`, {}, { ticket: id, undoable: false });
}

/** @param {"playing" | "paused"} state */
export async function setDemo(state) {
  const before = demo.peek();
  if (!before) return;
  demo.value = { ...before, state };
  try {
    const after = await request("POST", "/demo/replay", { body: { state } });
    if (after?.state) demo.value = { ...before, ...after };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    demo.value = before;
    say({ text: error.message, kind: "problem", undo: null });
  }
}

/**
 * Why the first of these stands before the second, in the page's language; "" when the server doesn't say.
 * @param {number} first
 * @param {number} second
 */
export async function why(first, second) {
  try {
    const { answer = "", code, values = {}, reason } = (await get(`/tickets/${first}/why?before=${second}`)) ?? {};
    if (!has(`because.${code}`)) return answer;
    const told = t(`because.${code}`, { ...values, ...(values.at && { at: clockTime(Date.parse(values.at)) }) });
    return reason ? t("because.reason", { told, reason }) : told;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return "";
  }
}
