// @ts-check
/**
 * Owns how a ticket looks on a phone.
 *
 * @import {ReadonlySignal, Signal} from "@preact/signals"
 * @import {BoardTicket, QueueRow, Rows, TicketInfo, TicketState} from "../shared/wire.js"
 * @typedef {object} Model
 * @property {Signal<TicketInfo | null>} info
 * @property {Signal<boolean>} unknown  no such ticket (any more)
 * @property {ReadonlySignal<Rows>} rows
 * @property {ReadonlySignal<BoardTicket | undefined>} own
 * @property {ReadonlySignal<QueueRow | undefined>} queue
 * @property {ReadonlySignal<TicketState>} state
 * @property {ReadonlySignal<BoardTicket[]>} calling  others being called, newest first
 * @property {Signal<boolean>} stale
 * @property {Signal<number>} freshAt
 * @property {Signal<boolean>} sound
 * @property {ReadonlySignal<boolean>} ringing  called, and the patient hasn't confirmed yet
 * @property {Signal<"no" | "asked" | "sent">} leaving
 * @property {Signal<string>} problem
 * @property {Signal<boolean>} moved  the ticket came here from another queue
 * @property {() => Promise<void>} soundOn
 * @property {() => void} onMyWay
 * @property {() => Promise<void>} leave
 */
import { useLayoutEffect, useRef } from "preact/hooks";

import { now } from "../shared/clock.js";
import { clockTime, number, span, t, waitRange } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { PushChoice } from "../shared/push.js";
import { html, unbroken } from "../shared/ui.js";
import { ahead, waitLeft } from "./place.js";

/** What a state that ends, or interrupts, the waiting says. */
const SAID = /** @type {Record<string, [string, string]>} */ ({
  in_consultation: ["ticket.consultation", "ticket.consultation.text"],
  on_hold: ["ticket.hold", "ticket.hold.text"],
  completed: ["ticket.completed", "ticket.completed.text"],
  no_show: ["ticket.noshow", "ticket.noshow.text"],
  cancelled: ["ticket.cancelled", "ticket.cancelled.text"],
  transferred: ["ticket.transferred", "ticket.transferred.text"],
});

/** @param {{model: Model}} props */
export function Ticket({ model }) {
  const info = model.info.value;
  if (model.unknown.value) return html`<main class="calm-screen"><h1>${t("ticket.unknown")}</h1><p>${t("ticket.unknown.text")}</p></main>`;
  if (!info) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  const state = model.state.value;
  return html`
    <div class="page" data-state=${state}>
      <header class="head">
        <h1>${info.institution}</h1>
        <p><bdi>${info.location}</bdi> · <bdi>${model.queue.value?.name ?? info.queue.name}</bdi></p>
        <${LanguageChoice} among=${info.languages} />
      </header>
      ${model.stale.value && html`<${Stale} freshAt=${model.freshAt.value} />`}
      <main class="main">
        <section class="number">
          <h2>${t("ticket.number")}</h2>
          <p class="token">${info.token}</p>
        </section>
        ${model.moved.value && state === "waiting" && html`<p class="note" role="status">${t("ticket.moved", { queue: info.queue.name })}</p>`}
        ${state === "waiting" ? html`<${Waiting} model=${model} info=${info} />` : state === "called" ? html`<${Called} model=${model} />` : html`<${Said} state=${state} dayEnded=${info.ended === "day-ended"} />`}
      </main>
      ${(state === "waiting" || state === "on_hold") && html`<${Foot} model=${model} info=${info} />`}
      ${model.ringing.value && html`<${Turn} model=${model} />`}
      ${model.leaving.value !== "no" && html`<${Leave} model=${model} info=${info} />`}
    </div>
  `;
}

/** @param {{freshAt: number}} props */
function Stale({ freshAt }) {
  void now.value;
  return html`<p class="stale" role="status">${t("ticket.stale", { age: span((Date.now() - freshAt) / 1_000) })}</p>`;
}

/** @param {{model: Model, info: TicketInfo}} props */
function Waiting({ model, info }) {
  const before = ahead(model.rows.value, info.ticket);
  const queue = model.queue.value;
  if (before === null) return html`<p class="note">${t("link.connecting")}</p>`;
  const left = waitLeft(queue, before, now.value);
  const wait = left === null ? null : left[1] <= 0 ? t("ticket.wait.over") : waitRange(left[0], left[1]);
  const calling = model.calling.value;
  return html`
    <section class="card place" data-testid="ticket-place" data-place=${before + 1}>
      <h2 class=${before === 0 ? "aside" : ""}>${t("ticket.place.title")}</h2>
      <p class="place-big" aria-hidden="true">${before === 0 ? t("ticket.place.next") : number(before + 1)}</p>
      <p aria-hidden="true">${before === 0 ? "" : t("ticket.place", { ahead: before })}</p>
      <p class="aside" role="status" aria-atomic="true">${t("ticket.live.place", { ahead: before })}</p>
    </section>
    ${queue && queue.state !== "open" && html`<p class="note is-warn" role="status"><strong>${t(`ticket.${queue.state}`)}</strong>${queue.message && html` <span>${queue.message}</span>`}</p>`}
    ${queue?.show_waits &&
    html`<section class="card">
      <h2>${t("ticket.wait")}</h2>
      <p class=${`wait ${left && left[1] <= 0 ? "is-over" : ""}`} data-testid="ticket-wait">${wait ?? t("ticket.wait.unknown")}</p>
      ${wait && left && left[1] > 0 && html`<p class="soft">${t("ticket.wait.note")}</p>`}
    </section>`}
    <section class="card">
      <h2>${t("ticket.calling")}</h2>
      ${calling.length === 0
        ? html`<p class="soft">${t("ticket.calling.none")}</p>`
        : html`<ul class="calling">${calling.map((row) => html`<li key=${row.ticket}><span class="token">${row.token}</span><bdi>${row.desk}</bdi></li>`)}</ul>`}
    </section>
  `;
}

/** Where to go stands in the queue's rows alone, which come after the ticket. @param {{model: Model}} props */
function Called({ model }) {
  const desk = model.own.value?.desk;
  return html`
    <section class="card is-called">
      <h2>${t("ticket.called")}</h2>
      ${desk ? html`<p>${t("ticket.turn.to")}</p><p class="called-desk"><bdi>${unbroken(desk)}</bdi></p>` : html`<p role="status">${t("link.connecting")}</p>`}
    </section>
  `;
}

/** @param {{state: TicketState, dayEnded: boolean}} props */
function Said({ state, dayEnded }) {
  const [title, text] = dayEnded ? ["ticket.dayended", "ticket.dayended.text"] : (SAID[state] ?? ["link.connecting", ""]);
  return html`<section class=${`card said ${state === "no_show" ? "is-warn" : ""}`} role="status"><h2>${t(title)}</h2>${text && html`<p>${t(text)}</p>`}</section>`;
}

/** @param {{model: Model, info: TicketInfo}} props */
const Foot = ({ model, info }) => html`
  <footer class="foot">
    <div class="sound">
      ${model.sound.value
        ? html`<p role="status">✓ ${t("ticket.sound.on")}</p>`
        : html`<button class="button main" type="button" onClick=${model.soundOn}>${t("ticket.sound")}</button><p class="soft">${t("ticket.sound.text")}</p>`}
      <${PushChoice} />
    </div>
    <div role="alert">${model.problem.value && html`<p class="problem">${model.problem.value}</p>`}</div>
    <div class="foot-end">
      <span class="soft">${t("ticket.since", { time: clockTime(Date.parse(info.joined_at)) })}</span>
      ${info.may_cancel && html`<button class="button leave" type="button" onClick=${() => (model.leaving.value = "asked")}>${t("ticket.leave")}</button>`}
    </div>
  </footer>
`;

/** The one moment this page is for. @param {{model: Model}} props */
function Turn({ model }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => void (ref.current?.open || ref.current?.showModal()), []);
  const own = model.own.value;
  return html`
    <dialog ref=${ref} class="turn" role="alertdialog" aria-labelledby="turn-title" aria-describedby="turn-to" onCancel=${model.onMyWay} data-testid="ticket-turn" data-desk=${own?.desk}>
      <div class="turn-in">
        <h2 id="turn-title">${(own?.call?.number ?? 1) > 1 ? t("ticket.turn.again") : t("ticket.turn")}</h2>
        <p class="token">${own?.token}</p>
        <p id="turn-to"><span>${t("ticket.turn.to")}</span> <strong><bdi>${unbroken(own?.desk ?? "")}</bdi></strong></p>
        <button class="button" type="button" autofocus onClick=${model.onMyWay}>${t("ticket.turn.ok")}</button>
      </div>
    </dialog>
  `;
}

/** @param {{model: Model, info: TicketInfo}} props */
function Leave({ model, info }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => void (ref.current?.open || ref.current?.showModal()), []);
  const sent = model.leaving.value === "sent";
  const stay = () => void (sent || (model.leaving.value = "no"));
  return html`
    <dialog ref=${ref} class="ask" aria-labelledby="leave-title" onCancel=${stay} onClose=${stay}>
      <h2 id="leave-title">${t("ticket.leave.title")}</h2>
      <p>${t("ticket.leave.text", { token: info.token })}</p>
      <div class="ask-foot">
        <button class="button" type="button" autofocus disabled=${sent} onClick=${stay}>${t("ticket.leave.no")}</button>
        <button class="button danger" type="button" aria-busy=${sent} disabled=${sent} onClick=${model.leave}>${sent ? t("ticket.leaving") : t("ticket.leave.yes")}</button>
      </div>
    </dialog>
  `;
}
