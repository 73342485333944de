// @ts-check
/**
 * Owns how the location's queues look side by side: who is in which room, who waits, what can be done with a ticket.
 *
 * @import {Column} from "./desk.js"
 * @import {Shown} from "./moves.js"
 */
import { computed, signal } from "@preact/signals";

import { coarse, now } from "../shared/clock.js";
import { bornIn, has, number, span, t, timer, waitRange } from "../shared/i18n.js";
import { html, titled } from "../shared/ui.js";
import { waitLeft } from "../ticket/place.js";
import { carriable, carry, pickUp, press, resting, target } from "./carry.js";
import { chosen, here } from "./desk.js";
import { needText } from "./form.js";
import { correcting, deciding } from "./record.js";
import { prioritize, showLink } from "./sheets.js";
import { bringBack, cancel, hold, transfer, undo } from "./steps.js";

/** The card that is open. */
export const opened = signal(/** @type {number | null} */ (null));

/** The one card of each queue that Tab comes to: the last one visited while it is there, else the first. */
const tabStops = computed(
  () =>
    new Set(
      chosen.value.map(({ shown, rooms, held, missed }) => {
        const all = [...shown, ...rooms, ...held, ...missed];
        return (all.find((one) => one.ticket === resting.value) ?? all[0])?.ticket;
      }),
    ),
);

export function Lines() {
  return html`
    <div class="columns" data-testid="reception-columns">
      ${chosen.value.map((one) => html`<${QueueColumn} key=${one.id} column=${one} />`)}
      ${chosen.value.length === 0 && html`<p class="list-none">${here.value.length === 0 ? t("console.pick.none") : t("reception.filter.none")}</p>`}
    </div>
    <${Ghost} />
  `;
}

/** @param {{column: Column}} props */
function QueueColumn({ column }) {
  const { id, item, queue, rooms, waiting, shown, held, missed, day } = column;
  const [name, doctor] = titled(queue?.name ?? item.name, queue?.doctor ?? item.doctor);
  const state = queue?.state ?? item.state;
  const over = carry.value && carry.value.to === id;
  const hidden = waiting.length - shown.length;
  return html`
    <section class=${`column ${over ? "is-over" : ""}`} data-queue=${id} data-testid="reception-column" data-live=${queue !== null} aria-labelledby=${`queue-${id}`}>
      <header class="column-head">
        <h3 id=${`queue-${id}`}>${name} <span class="count">${number(waiting.length)}</span></h3>
        <p class="column-sub">${[doctor, day?.department].filter(Boolean).join(" · ")}</p>
        ${queue && html`<button class=${`button column-state is-${state}`} type="button" data-step="state" onClick=${() => (deciding.value = id)}><span class="aside">${`${t("console.pause.title")}: ${name}: `}</span><i class="dot"></i>${t(`console.state.${state}`)}${queue.message && html`<small dir="auto">${queue.message}</small>`}</button>`}
        ${day && html`<p class="column-day">${[t("reception.served.n", { n: day.served }), day.wait_mean_s === null ? "" : t("reception.mean", { n: Math.round(day.wait_mean_s / 60) })].filter(Boolean).join(" · ")}</p>`}
      </header>
      <div class="column-body">
        ${rooms.length > 0 && html`<ul class="rooms" aria-label=${t("reception.rooms")}>${rooms.map((one) => html`<${Room} key=${one.ticket} ticket=${one} queue=${id} />`)}</ul>`}
        ${!queue
          ? html`<p class="list-none">${t("link.connecting")}</p>`
          : html`<${Waiting} column=${column} />`}
        ${hidden > 0 && html`<p class="list-none">${t("reception.hidden", { n: hidden })}</p>`}
        <${Folded} title=${t("console.held.title")} list=${held} queue=${id} />
        <${Folded} title=${t("reception.missed")} list=${missed} queue=${id} />
      </div>
    </section>
  `;
}

/** @param {{column: Column}} props */
function Waiting({ column }) {
  const { id, shown, waiting, queue } = column;
  void target.value;
  const held = carry.peek();
  const lands = held && held.to === id ? held.index : -1;
  const places = new Map(waiting.map((one, at) => [one.ticket, at]));
  const cards = [];
  let index = 0;
  for (const one of shown) {
    const carried = held?.ticket.ticket === one.ticket;
    if (!carried && index === lands) cards.push(html`<${Landing} key="landing" />`);
    const at = places.get(one.ticket) ?? 0;
    cards.push(html`<${Card} key=${one.ticket} ticket=${one} queue=${id} at=${at} left=${waitLeft(queue ?? undefined, at, coarse.value)} lifted=${carried} />`);
    if (!carried) index += 1;
  }
  if (index === lands) cards.push(html`<${Landing} key="landing" />`);
  if (cards.length === 0) return html`<p class="list-none">${t("console.queue.empty")}</p>`;
  return html`<ol class="line">${cards}</ol>`;
}

function Landing() {
  const held = carry.peek();
  return html`<li class="landing" data-testid="reception-landing" ref=${(/** @type {HTMLElement | null} */ made) => held?.by === "keys" && made?.scrollIntoView({ block: "nearest", inline: "nearest" })}><span class="token">${held?.ticket.token}</span></li>`;
}

/** @param {{ticket: Shown, queue: number}} props */
function Room({ ticket, queue }) {
  const since = ticket.state === "called" ? ticket.call?.at ?? ticket.called_at : ticket.started_at;
  const shown = opened.value === ticket.ticket;
  return html`
    <li class=${`card room-card is-${ticket.state} ${shown ? "is-open" : ""}`} data-testid="reception-room" data-ticket=${ticket.ticket} data-token=${ticket.token}>
      <${Main} ticket=${ticket} shown=${shown}>
        <span class="card-top"><strong class="card-desk">${ticket.desk}</strong><span class="token">${ticket.token}</span><span class="card-time">${since ? timer((now.value - Date.parse(since)) / 1_000) : ""}</span></span>
        <span class="card-name"><bdi>${ticket.patient.name}</bdi> <small>${t(`value.${ticket.state}`)}</small></span>
      <//>
      ${shown && html`<${More} ticket=${ticket} queue=${queue} />`}
    </li>
  `;
}

/** The part of a card that is pressed: opens it. @param {{ticket: Shown, shown: boolean, children?: any}} props */
const Main = ({ ticket, shown, children }) => html`
  <button class="card-main" type="button" aria-expanded=${shown} aria-describedby=${carriable(ticket) ? "move-hint" : undefined} tabindex=${tabStops.value.has(ticket.ticket) ? 0 : -1}
    onFocus=${() => (resting.value = ticket.ticket)} onClick=${() => (opened.value = shown ? null : ticket.ticket)}>${children}</button>
`;

/** @param {{ticket: Shown, queue: number, at?: number, left?: [number, number] | null, lifted?: boolean}} props */
function Card({ ticket, queue, at, left = null, lifted = false }) {
  const waited = (coarse.value - Date.parse(ticket.joined_at)) / 1_000;
  const shown = opened.value === ticket.ticket;
  const marks = ticket.urgency !== "routine" || ticket.requirements.length > 0;
  return html`
    <li class=${`card is-${ticket.urgency} ${lifted ? "is-lifted" : ""} ${ticket.pending ? "is-pending" : ""} ${shown ? "is-open" : ""}`}
      data-testid="reception-card" data-ticket=${ticket.ticket} data-token=${ticket.token} data-place=${at === undefined ? undefined : at + 1} data-pending=${ticket.pending ?? false}
      onPointerDown=${(/** @type {PointerEvent} */ event) => press(event, ticket.ticket)}>
      <${Main} ticket=${ticket} shown=${shown}>
        <span class="card-top">
          ${at !== undefined && html`<span class="card-place" aria-hidden="true">${number(at + 1)}</span><span class="aside">${t("console.place", { n: at + 1 })}</span>`}
          <span class="token">${ticket.token}</span>
          <span class="card-time"><span class="aside">${t("console.waited")} </span>${waited < 60 ? t("time.now") : span(waited)}</span>
        </span>
        <span class="card-name"><bdi>${ticket.patient.name}</bdi>${left && left[1] > 0 && html`<small>${waitRange(Math.max(0, left[0]), left[1], "wait.short")}</small>`}</span>
        ${marks &&
        html`<span class="card-marks">
          ${ticket.urgency !== "routine" && html`<span class=${`badge is-${ticket.urgency}`}>${t(`urgency.${ticket.urgency}`)}</span>`}
          ${ticket.requirements.map((one) => html`<span key=${one} class="chip">${needText(one)}</span>`)}
        </span>`}
        ${ticket.reason && html`<span class="card-reason">${ticket.reason}</span>`}
      <//>
      ${carriable(ticket) && html`<span class="grip" aria-hidden="true"></span>`}
      ${shown && html`<${More} ticket=${ticket} queue=${queue} />`}
    </li>
  `;
}

/** @param {{title: string, list: Shown[], queue: number}} props */
function Folded({ title, list, queue }) {
  if (list.length === 0) return null;
  return html`
    <details class="folded">
      <summary>${title} <span class="count">${number(list.length)}</span></summary>
      <ul class="line-aside">${list.map((one) => html`<${Card} key=${one.ticket} ticket=${one} queue=${queue} lifted=${carry.value?.ticket.ticket === one.ticket} />`)}</ul>
    </details>
  `;
}

/** @param {{ticket: Shown, queue: number}} props */
function More({ ticket, queue }) {
  const { state, patient } = ticket;
  const others = here.value.filter((one) => one.id !== queue);
  const born = bornIn(patient);
  /** @param {string} label @param {() => void} onClick @param {string} name */
  const button = (label, onClick, name) => html`<button class="button" type="button" data-step=${name} onClick=${onClick}>${label}</button>`;
  return html`
    <div class="card-more">
      <p class="soft">
        ${patient.number && html`<bdi dir="ltr">${patient.number}</bdi> `}${born && html`<span>${t("console.born", { year: born })} </span>`}${patient.phone && html`<bdi dir="ltr">${patient.phone}</bdi>`}
      </p>
      ${ticket.order_reasons.map((reason, index) => html`<p key=${index} class="soft">${has(`order.${reason.code}`) ? t(`order.${reason.code}`, { detail: reason.detail }) : reason.detail || reason.code}</p>`)}
      ${!ticket.pending &&
      html`<div class="card-steps">
        ${state === "waiting" && button(t("reception.move"), () => pickUp(ticket.ticket), "move")}
        ${(state === "waiting" || state === "on_hold") && button(t("console.prioritize.urgency"), () => prioritize(ticket, queue), "prioritize")}
        ${(state === "waiting" || state === "called") && button(t("console.hold"), () => void hold(ticket, queue), "hold")}
        ${(state === "on_hold" || state === "no_show" || state === "called") && button(t("console.return"), () => void bringBack(ticket, queue), "return")}
        ${button(t("reception.correct"), () => (correcting.value = patient), "correct")}
        ${button(t("reception.link"), () => void showLink(ticket), "link")}
        ${["waiting", "on_hold", "called"].includes(state) && button(t("console.cancel.action"), () => void cancel(ticket, queue), "cancel")}
        ${ticket.undo && button(t("console.undo"), () => void undo(ticket), "undo")}
      </div>
      ${state !== "no_show" &&
      others.length > 0 &&
      html`<label class="field"><span>${t("console.transfer.to")}</span>
        <select data-step="transfer" onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => event.currentTarget.value && void transfer(ticket, queue, Number(event.currentTarget.value))}>
          <option value="">–</option>
          ${others.map((one) => html`<option key=${one.id} value=${String(one.id)}>${titled(one.name, one.doctor)[0]}</option>`)}
        </select>
      </label>`}`}
    </div>
  `;
}

/** What follows the pointer. */
function Ghost() {
  const held = carry.value;
  if (held?.by !== "pointer") return null;
  return html`<div class="ghost" style=${{ transform: `translate(${held.x + 12}px, ${held.y + 8}px)` }}><span class="token">${held.ticket.token}</span> <bdi>${held.ticket.patient.name}</bdi></div>`;
}

/**
 * The arrows go from card to card: along a queue, and across to the one beside it.
 * @param {string} key
 * @param {Element} card
 */
export function walk(key, card) {
  const column = card.closest("section");
  if (!column) return false;
  const along = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
  const cards = /** @type {HTMLElement[]} */ ([...column.querySelectorAll(".card-main")]).filter((one) => one.offsetParent !== null);
  const at = cards.indexOf(/** @type {HTMLElement} */ (card));
  if (along) return focus(cards[at + along]);
  const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
  if (key !== "ArrowLeft" && key !== "ArrowRight") return false;
  let beside = key === forward ? column.nextElementSibling : column.previousElementSibling;
  while (beside && !beside.querySelector(".card-main")) beside = key === forward ? beside.nextElementSibling : beside.previousElementSibling;
  const there = /** @type {HTMLElement[]} */ ([...(beside?.querySelectorAll(".card-main") ?? [])]).filter((one) => one.offsetParent !== null);
  return focus(there[Math.min(at, there.length - 1)]);
}

/** @param {HTMLElement | undefined} card */
function focus(card) {
  card?.focus();
  card?.scrollIntoView({ block: "nearest", inline: "nearest" });
  return true;
}
