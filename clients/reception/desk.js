// @ts-check
/**
 * Owns what reception sees: the chosen location, its queues live and side by side, the day's figures, the filters.
 *
 * Invariant: what is shown comes from the streams, with the steps under way laid over them (moves.js), and nothing else.
 *
 * @import {Feed} from "../shared/socket.js"
 * @import {QueueItem, QueueOverview, Overview, StaffQueue, StaffTicket, Urgency} from "../shared/wire.js"
 * @import {Lists, Move, Shown} from "./moves.js"
 * @typedef {{id: number, item: QueueItem, queue: StaffQueue | null, rooms: Shown[], waiting: Shown[], shown: Shown[], held: Shown[], missed: Shown[], day: QueueOverview | null}} Column
 *   `waiting`: all who wait, in order; `shown`: those of them that the filters leave
 * @typedef {{queue: number | null, department: string, doctor: number | null, urgency: Urgency | ""}} Filter
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, get } from "../shared/api.js";
import { setServerTime } from "../shared/clock.js";
import { connect, disconnect, refused, stale } from "../shared/connection.js";
import { zone } from "../shared/i18n.js";
import { readQueues } from "../shared/queues.js";
import { user } from "../shared/session.js";
import { store } from "../shared/ui.js";
import { byRank, settled, withMoves } from "./moves.js";

const OVERVIEW_MS = 30_000;
/** A step that the streams don't show by then, though the server took it: somebody else has changed the ticket since. */
const SETTLE_MS = 4_000;

const kept = store();

export const queues = signal(/** @type {QueueItem[] | null} */ (null));
export const location = signal(/** @type {number | null} */ (null));
export const overview = signal(/** @type {Overview | null} */ (null));
export const filter = signal(/** @type {Filter} */ ({ queue: null, department: "", doctor: null, urgency: "" }));
export const moves = signal(/** @type {readonly Move[]} */ ([]));
/** Set by what would be lost by a reload. */
export const busy = signal(false);

const feeds = signal(/** @type {ReadonlyMap<number, Feed>} */ (new Map()));

/** Where this person works; of several institutions, each location says which one it belongs to. */
export const locations = computed(() => {
  const all = queues.value ?? [];
  const several = new Set(all.map((one) => one.institution_id)).size > 1;
  return [...new Map(all.map((one) => [one.location_id, several ? `${one.institution} · ${one.location}` : one.location]))].map(([id, name]) => ({ id, name }));
});
/** The queues of the chosen location that this person works. */
export const here = computed(() => (queues.value ?? []).filter((one) => one.location_id === location.value && one.serves !== false));

/** Every queue's tickets as the streams have them. */
const told = computed(() => {
  /** @type {Lists} */
  const lists = new Map();
  for (const [id, feed] of feeds.value)
    lists.set(id, /** @type {StaffTicket[]} */ ([...feed.rows.value].filter(([key]) => key.startsWith("t:")).map(([, row]) => row)));
  return lists;
});
const lists = computed(() => withMoves(told.value, moves.value));

export const columns = computed(() => here.value.map(column));
/** The columns that the filters leave. */
export const chosen = computed(() => columns.value.filter(fits));

/**
 * @param {QueueItem} item
 * @returns {Column}
 */
function column(item) {
  const tickets = [...(lists.value.get(item.id) ?? [])].sort(byRank);
  /** @param {string[]} states */
  const those = (...states) => tickets.filter((one) => states.includes(one.state));
  const waiting = those("waiting");
  const { urgency } = filter.value;
  return {
    id: item.id,
    item,
    queue: /** @type {StaffQueue | null} */ (feeds.value.get(item.id)?.rows.value.get("queue") ?? null),
    rooms: those("called", "in_consultation"),
    waiting,
    shown: urgency ? waiting.filter((one) => one.urgency === urgency) : waiting,
    held: those("on_hold"),
    missed: those("no_show"),
    day: overview.value?.queues.find((one) => one.queue_id === item.id) ?? null,
  };
}

/** @param {Column} one */
function fits({ id, item, day }) {
  const { queue, department, doctor } = filter.value;
  if (queue !== null && queue !== id) return false;
  if (department && day?.department !== department) return false;
  return doctor === null || item.doctor_id === doctor || (day?.doctor_ids.includes(doctor) ?? false);
}

export const departments = computed(() => [...new Set((overview.value?.queues ?? []).flatMap((one) => one.department ?? []))].sort());
export const doctors = computed(() => {
  const named = new Map(here.value.flatMap((one) => (one.doctor_id && one.doctor ? [[one.doctor_id, one.doctor]] : [])));
  return /** @type {{id: number, name: string}[]} */ ([...named].map(([id, name]) => ({ id, name })));
});

/** @param {number} queue */
export const columnOf = (queue) => columns.value.find((one) => one.id === queue);
/** @param {number} ticket */
export function find(ticket) {
  for (const one of columns.value)
    for (const found of [...one.waiting, ...one.held, ...one.missed, ...one.rooms]) if (found.ticket === ticket) return { column: one, ticket: found };
  return null;
}

/** Begin for the one who has signed in: their queues, the remembered location, the link. */
export async function begin() {
  if (!(await loadQueues())) return;
  const remembered = Number(kept.get("callboard.location"));
  const where = locations.peek().find((one) => one.id === remembered) ?? locations.peek()[0];
  if (where) settle(where.id);
}

/** End: somebody else may sit down here. */
export function end() {
  disconnect();
  feeds.value = new Map();
  queues.value = location.value = overview.value = null;
  moves.value = [];
}

/** Answers whether whoever asked is still here. */
async function loadQueues() {
  const found = await readQueues();
  if (found) queues.value = found;
  return found !== undefined;
}

/** Work at this location. @param {number} id */
export function settle(id) {
  location.value = id;
  kept.set("callboard.location", String(id));
  filter.value = { queue: null, department: "", doctor: null, urgency: "" };
  overview.value = null;
  moves.value = [];
  follow();
  void loadOverview();
}

/** Follow the queues of this location and no others. */
function follow() {
  const link = connect(() => moves.peek().length === 0 && !busy.peek());
  const before = feeds.peek();
  const wanted = new Set(here.peek().map((one) => one.id));
  for (const [id, feed] of before) if (!wanted.has(id)) feed.stop();
  feeds.value = new Map([...wanted].map((id) => [id, before.get(id) ?? link.follow(`staff:${id}`, (events) => events.length > 0 && soon(), (problem) => refused(problem, () => void loadQueues().then((here) => here && follow())))]));
}

let overviewTimer = 0;
/** The figures change with every step; many steps at once are one question. */
function soon() {
  if (overviewTimer) return;
  overviewTimer = setTimeout(() => {
    overviewTimer = 0;
    void loadOverview();
  }, 1_500);
}

async function loadOverview() {
  const where = location.peek();
  if (where === null || !user.peek()) return;
  try {
    const found = /** @type {Overview} */ (await get(`/locations/${where}/overview`));
    if (location.peek() !== where) return;
    overview.value = found;
    zone.value = found.zone;
    setServerTime(found.server_time);
    // A queue that was opened or closed for good since: its column comes or goes.
    const known = new Set(here.peek().map((one) => one.id));
    const now = found.queues.filter((one) => one.serves).map((one) => one.queue_id);
    if (now.length !== known.size || now.some((id) => !known.has(id))) void loadQueues().then((here) => here && follow());
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}
setInterval(loadOverview, OVERVIEW_MS);

// A step that the streams show is laid over them no longer.
effect(() => {
  const left = moves.value.filter((move) => !settled(move, told.value));
  if (left.length !== moves.value.length) moves.value = left;
});

/** @param {Move} move */
export const lay = (move) => void (moves.value = [...moves.peek(), move]);
/** @param {number} id */
export const takeAway = (id) => void (moves.value = moves.peek().filter((one) => one.id !== id));

/**
 * @param {number} id
 * @param {StaffTicket | null} answer
 */
export function answered(id, answer) {
  moves.value = moves.peek().map((one) => (one.id === id ? { ...one, answer } : one));
  const look = () => {
    // Without a link the streams tell nothing, so what the server answered stays.
    if (stale.peek()) return void setTimeout(look, SETTLE_MS);
    takeAway(id);
  };
  setTimeout(look, SETTLE_MS);
}
