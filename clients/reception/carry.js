// @ts-check
/**
 * Owns carrying a ticket to another place or queue, by pointer and by keys: where it would land, and what dropping does.
 *
 * Invariant: the carried card stays where it is in the page until it is dropped (another shows where it would land), so
 * neither the focus nor a finger loses it; what somebody else does to the ticket meanwhile ends the carrying.
 *
 * @import {StaffTicket} from "../shared/wire.js"
 * @typedef {{ticket: StaffTicket, from: number, to: number, index: number, by: "keys" | "pointer", x: number, y: number}} Carry
 *   `index`: the place among those shown in `to`, the carried one not counted
 */
import { computed, effect, signal } from "@preact/signals";

import { t } from "../shared/i18n.js";
import { say } from "../shared/word.js";
import { chosen, columnOf, find } from "./desk.js";
import { landing, rankAt } from "./moves.js";
import { begin, bringBack, nameOf, said, transfer } from "./steps.js";

const THRESHOLD_PX = 6;
const EDGE_PX = 56;
const SCROLL_PX = 14;
/** For so long the focus follows a ticket that is on its way. */
const FOLLOW_MS = 5_000;

export const carry = signal(/** @type {Carry | null} */ (null));
/** A move that waits for its reason. */
export const asking = signal(/** @type {{move: number, ticket: StaffTicket, queue: number, place: number} | null} */ (null));
/** The card that the Tab key comes to. */
export const resting = signal(/** @type {number | null} */ (null));

/** The queue and index where the carried ticket would land; what is drawn there depends on nothing else. */
export const target = computed(() => (carry.value ? `${carry.value.to} ${carry.value.index}` : ""));

/**
 * Those shown who wait in a queue, without this ticket.
 * @param {number} queue
 * @param {number} ticket
 */
const others = (queue, ticket) => (columnOf(queue)?.shown ?? []).filter((one) => one.ticket !== ticket);

/**
 * @param {StaffTicket} ticket
 * @param {number} from
 * @param {number} to
 */
function landsAt(ticket, from, to) {
  const column = columnOf(to);
  if (from !== to) return landing(others(to, ticket.ticket), ticket, column?.queue?.mode);
  const at = column?.shown.findIndex((one) => one.ticket === ticket.ticket) ?? -1;
  return at < 0 ? 0 : at;
}

/** Whether this ticket can be carried at all. @param {StaffTicket & {pending?: boolean}} ticket */
export const carriable = (ticket) => !ticket.pending && ["waiting", "on_hold", "no_show"].includes(ticket.state);

/** @param {number} ticket */
export function pickUp(ticket) {
  const found = find(ticket);
  if (!found || !carriable(found.ticket)) return;
  const { id } = found.column;
  const index = landsAt(found.ticket, id, id);
  carry.value = { ticket: found.ticket, from: id, to: id, index, by: "keys", x: 0, y: 0 };
  said.value = t("reception.said.up", { token: found.ticket.token, queue: nameOf(id) });
}

export function cancelCarry() {
  const held = carry.peek();
  if (!held) return;
  carry.value = null;
  said.value = t("reception.said.cancelled", { token: held.ticket.token });
}

/**
 * One key while a ticket is carried; false for keys that mean nothing here.
 * @param {string} key
 */
export function carryKey(key) {
  const held = carry.peek();
  if (!held) return false;
  const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
  if (key === "Escape") cancelCarry();
  else if (key === "Enter" || key === " " || key.toLowerCase() === "m") drop();
  else if (key === "ArrowUp" || key === "ArrowDown") along(held, key === "ArrowUp" ? -1 : 1);
  else if (key === "Home" || key === "End") along(held, key === "Home" ? -Infinity : Infinity);
  else if (key === "ArrowLeft" || key === "ArrowRight") across(held, key === forward ? 1 : -1);
  else return false;
  return true;
}

/**
 * @param {Carry} held
 * @param {number} by
 */
function along(held, by) {
  if (held.to !== held.from) return void (said.value = t("reception.said.order", { queue: nameOf(held.to) }));
  const last = others(held.to, held.ticket.ticket).length;
  const index = Math.min(last, Math.max(0, held.index + by));
  carry.value = { ...held, index };
  said.value = t("reception.said.place", { place: placeOf(held, index), total: (columnOf(held.to)?.waiting.length ?? 0) + (held.ticket.state === "waiting" ? 0 : 1) });
}

/**
 * @param {Carry} held
 * @param {number} by
 */
function across(held, by) {
  const all = chosen.peek();
  const next = all[all.findIndex((one) => one.id === held.to) + by];
  if (!next) return;
  carry.value = { ...held, to: next.id, index: landsAt(held.ticket, held.from, next.id) };
  said.value = t("reception.said.queue", { queue: nameOf(next.id), waiting: next.waiting.length });
}

/**
 * The place, from 1, among all who wait, that an index among those shown means.
 * @param {Pick<Carry, "ticket" | "to">} held
 * @param {number} index
 */
function placeOf(held, index) {
  const all = (columnOf(held.to)?.waiting ?? []).filter((one) => one.ticket !== held.ticket.ticket);
  const behind = others(held.to, held.ticket.ticket)[index];
  return (behind ? all.findIndex((one) => one.ticket === behind.ticket) : all.length) + 1;
}

/** Let the carried ticket go where it is shown. */
export function drop() {
  const held = carry.peek();
  if (!held) return;
  carry.value = null;
  const { ticket, from, to, index } = held;
  if (to !== from) {
    if (ticket.state === "no_show") return say({ text: t("reception.bring.first", { token: ticket.token }), kind: "problem", undo: null });
    void transfer(ticket, from, to);
    return rest(ticket, to);
  }
  const place = placeOf(held, index);
  if (ticket.state !== "waiting") {
    void bringBack(ticket, from, place - 1);
    return rest(ticket, from);
  }
  const waiting = columnOf(from)?.waiting ?? [];
  if (waiting.findIndex((one) => one.ticket === ticket.ticket) === place - 1) return void (said.value = t("reception.said.cancelled", { token: ticket.token }));
  const left = waiting.filter((one) => one.ticket !== ticket.ticket);
  const move = begin({ ticket, from, change: { rank: rankAt(left, place - 1) } });
  asking.value = { move, ticket, queue: from, place };
}

/**
 * Let the focus stay with a ticket that was moved: its card is made anew where it goes, and once more when the queue it
 * went to gives it another number.
 * @param {StaffTicket} ticket
 * @param {number} queue
 */
export function rest(ticket, queue) {
  const until = Date.now() + FOLLOW_MS;
  const look = () => {
    const found = columnOf(queue)?.waiting.find((one) => one.patient.id === ticket.patient.id);
    if (found && document.activeElement === document.body) {
      resting.value = found.ticket;
      /** @type {HTMLElement | null} */ (document.querySelector(`[data-ticket="${found.ticket}"] .card-main`))?.focus();
    }
    if (Date.now() < until && (!found || found.pending) && !carry.peek()) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

// What somebody else does to the ticket ends the carrying.
effect(() => {
  const held = carry.value;
  if (!held) return;
  const found = find(held.ticket.ticket);
  if (found && found.ticket.state === held.ticket.state && found.column.id === held.from) return;
  carry.value = null;
  say({ text: t("reception.gone", { token: held.ticket.token }), kind: "problem", undo: null });
});

/**
 * The pointer is down on a card: it may become a drag, a press, or a finger that scrolls.
 * @param {PointerEvent} event
 * @param {number} ticket
 */
export function press(event, ticket) {
  if (event.button !== 0 || carry.peek()) return;
  const grip = /** @type {HTMLElement} */ (event.target).closest(".grip");
  // A finger on the card itself scrolls the list; on the grip, where scrolling is off, it drags.
  if (event.pointerType === "touch" && !grip) return;
  if (/** @type {HTMLElement} */ (event.target).closest(".card-more")) return;
  const start = { x: event.clientX, y: event.clientY };
  const stop = new AbortController();
  const options = { signal: stop.signal };
  let scroller = 0;
  const end = () => {
    stop.abort();
    cancelAnimationFrame(scroller);
  };
  /** @param {PointerEvent} moved */
  const move = (moved) => {
    if (moved.pointerId !== event.pointerId) return;
    if (!carry.peek()) {
      if (Math.hypot(moved.clientX - start.x, moved.clientY - start.y) < THRESHOLD_PX) return;
      const found = find(ticket);
      if (!found || !carriable(found.ticket)) return end();
      getSelection()?.removeAllRanges();
      const index = landsAt(found.ticket, found.column.id, found.column.id);
      carry.value = { ticket: found.ticket, from: found.column.id, to: found.column.id, index, by: "pointer", x: moved.clientX, y: moved.clientY };
      scroller = requestAnimationFrame(scroll);
    }
    hover(moved.clientX, moved.clientY);
  };
  const scroll = () => {
    const held = carry.peek();
    if (!held) return end();
    scrollNear(held.x, held.y);
    scroller = requestAnimationFrame(scroll);
  };
  addEventListener("pointermove", move, options);
  addEventListener("pointerup", (up) => {
    if (up.pointerId !== event.pointerId) return;
    end();
    if (carry.peek()?.by !== "pointer") return;
    // The press that ends a drag must not open the card.
    const deaf = new AbortController();
    addEventListener("click", (click) => click.stopPropagation(), { capture: true, signal: deaf.signal });
    setTimeout(() => deaf.abort());
    drop();
  }, options);
  addEventListener("pointercancel", () => (end(), cancelCarry()), options);
  addEventListener("keydown", (pressed) => pressed.key === "Escape" && end(), options);
}

/**
 * @param {number} x
 * @param {number} y
 */
function hover(x, y) {
  const held = carry.peek();
  if (!held) return;
  const over = document.elementFromPoint(x, y)?.closest("[data-queue]");
  const to = over instanceof HTMLElement ? Number(over.dataset.queue) : held.to;
  const index = to === held.from ? indexAt(over, y, held) : landsAt(held.ticket, held.from, to);
  carry.value = { ...held, to, index, x, y };
}

/**
 * @param {Element | null | undefined} column
 * @param {number} y
 * @param {Carry} held
 */
function indexAt(column, y, held) {
  if (!column) return held.index;
  const cards = [...column.querySelectorAll(".line > .card")].filter((card) => /** @type {HTMLElement} */ (card).dataset.ticket !== String(held.ticket.ticket));
  const below = cards.findIndex((card) => {
    const box = card.getBoundingClientRect();
    return y < box.top + box.height / 2;
  });
  return below < 0 ? cards.length : below;
}

/**
 * Bring what is beyond the edge into sight while something is carried there.
 * @param {number} x
 * @param {number} y
 */
function scrollNear(x, y) {
  const list = document.elementFromPoint(x, y)?.closest(".column-body");
  if (list) {
    const box = list.getBoundingClientRect();
    if (y < box.top + EDGE_PX) list.scrollBy(0, -SCROLL_PX);
    else if (y > box.bottom - EDGE_PX) list.scrollBy(0, SCROLL_PX);
  }
  const board = document.querySelector(".columns");
  if (!board) return;
  const box = board.getBoundingClientRect();
  if (x < box.left + EDGE_PX) board.scrollBy(-SCROLL_PX, 0);
  else if (x > box.right - EDGE_PX) board.scrollBy(SCROLL_PX, 0);
}
