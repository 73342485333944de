// @ts-check
/**
 * Owns reception's steps: each shows at once, is sent under one key, and is taken back with the reason if refused.
 *
 * Invariant: the steps of one ticket are sent one after the other, so two quick ones never overtake each other.
 *
 * @import {StaffTicket} from "../shared/wire.js"
 * @typedef {{ticket: StaffTicket, from: number, to?: number, change?: Partial<StaffTicket>}} What
 */
import { signal } from "@preact/signals";

import { Problem, act } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { titled } from "../shared/ui.js";
import { hush, say, toast } from "../shared/word.js";
import { answered, columnOf, lay, takeAway } from "./desk.js";
import { landing, rankAt } from "./moves.js";

/** What a screen reader is told, besides the word on the screen. */
export const said = signal("");

let numbers = 0;
/** @type {Map<number, Promise<unknown>>} */
const last = new Map();

/** @param {number} queue */
export const nameOf = (queue) => {
  const item = columnOf(queue)?.item;
  return item ? titled(item.name, item.doctor)[0] : "";
};

/**
 * Show a step before it is made.
 * @param {What} what
 * @returns {number} the move's number
 */
export function begin({ ticket, from, to = from, change = {} }) {
  const id = (numbers += 1);
  lay({ id, row: ticket, from, to, change });
  return id;
}

/**
 * Make a step that is shown already.
 * @param {number} move
 * @param {string} name the step, as in the texts ("done.<name>")
 * @param {StaffTicket} ticket
 * @param {Record<string, any>} [body]
 * @param {string} [done] what to say when it is done
 * @returns {Promise<boolean>} whether it was done
 */
export async function finish(move, name, ticket, body = {}, done = t(`done.${name}`, { token: ticket.token })) {
  const turn = (last.get(ticket.ticket) ?? Promise.resolve()).then(() => act(`/tickets/${ticket.ticket}/${name}`, body));
  last.set(ticket.ticket, turn.catch(() => {}));
  try {
    const reply = await turn;
    const row = /** @type {StaffTicket | undefined} */ (reply?.ticket);
    answered(move, row ?? null);
    const undoable = name === "cancel" || (name !== "undo" && Boolean(row?.undo));
    say({ text: done, kind: "done", undo: undoable ? row?.ticket ?? ticket.ticket : null });
    return true;
  } catch (error) {
    takeAway(move);
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
    else say({ text: t("reception.refused", { token: ticket.token, reason: error.message }), kind: "problem", undo: null });
    return false;
  }
}

/**
 * @param {string} name
 * @param {What} what
 * @param {Record<string, any>} [body]
 */
export const step = (name, what, body = {}) => finish(begin(what), name, what.ticket, body);

/**
 * @param {StaffTicket} ticket
 * @param {number} from
 */
export const hold = (ticket, from) => step("hold", { ticket, from, change: { state: "on_hold", desk: null, desk_id: null } });

/**
 * @param {StaffTicket} ticket
 * @param {number} from
 */
export const cancel = (ticket, from) => step("cancel", { ticket, from, change: { state: "cancelled" } });

/**
 * Back to waiting: at the old place, or after so many others.
 * @param {StaffTicket} ticket
 * @param {number} from
 * @param {number | null} [after]
 */
export function bringBack(ticket, from, after = null) {
  const waiting = columnOf(from)?.waiting ?? [];
  const rank = after === null ? ticket.rank : rankAt(waiting, after);
  return step("return", { ticket, from, change: { state: "waiting", rank, desk: null, desk_id: null } }, { after });
}

/**
 * To another queue, keeping the time waited.
 * @param {StaffTicket} ticket
 * @param {number} from
 * @param {number} to
 */
export function transfer(ticket, from, to) {
  const column = columnOf(to);
  const waiting = column?.waiting ?? [];
  const rank = rankAt(waiting, landing(waiting, ticket, column?.queue?.mode));
  const move = begin({ ticket, from, to, change: { state: "waiting", rank, desk: null, desk_id: null } });
  return finish(move, "transfer", ticket, { queue_id: to, keep_wait: true }, t("reception.moved.to", { token: ticket.token, queue: nameOf(to) }));
}

/** Take back the step that was just spoken of, or the last one of this ticket. @param {StaffTicket} [ticket] */
export async function undo(ticket) {
  const id = ticket?.ticket ?? toast.peek()?.undo;
  if (!id) return;
  hush();
  try {
    const reply = await act(`/tickets/${id}/undo`);
    say({ text: t("done.undo", { token: reply.ticket.token }), kind: "done", undo: null });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say({ text: error.message, kind: "problem", undo: null });
  }
}
