// @ts-check
/**
 * Owns how the board looks. Reads the state's signals, decides nothing that is announced or acknowledged.
 *
 * @import {Signal} from "@preact/signals"
 * @import {BoardTicket, DeviceInfo, QueueRow, Rows} from "../shared/wire.js"
 * @import {Feed} from "../shared/socket.js"
 * @import {Call} from "./calls.js"
 * @typedef {object} State
 * @property {Signal<"starting" | "pairing" | "board" | "fault">} phase
 * @property {Signal<DeviceInfo | null>} device
 * @property {Signal<Call[]>} calls  newest first
 * @property {Signal<Call | null>} presented  the call being announced
 * @property {Signal<string>} spoken  for screen readers
 * @property {Signal<boolean>} stale
 * @property {Signal<number>} freshAt
 * @property {Signal<Map<number, Feed>>} feeds  by queue
 */
import { locked, unlock } from "../shared/chime.js";
import { now } from "../shared/clock.js";
import { clockTime, longDate, span, t, timer, waitRange } from "../shared/i18n.js";
import { html, titled, unbroken } from "../shared/ui.js";
import { arrivalCode } from "./arrival.js";
import { code, expires, unreachable } from "./pairing.js";

/** @param {{state: State}} props */
export function Board({ state }) {
  const phase = state.phase.value;
  if (phase === "fault") return html`<${Fault} />`;
  if (phase === "pairing") return html`<${Pairing} />`;
  const info = state.device.value;
  if (phase === "starting" || !info) return html`<main class="calm-screen"><p class="lead">${t("link.connecting")}</p></main>`;
  const stale = state.stale.value;
  return html`
    <div class=${`screen ${stale ? "is-stale" : ""}`}>
      <${Head} info=${info} />
      ${stale && html`<${Stale} freshAt=${state.freshAt.value} />`}
      ${info.queues.length === 0
        ? html`<main class="calm-screen"><h1>${t("board.noqueues.title")}</h1><p class="lead">${t("board.noqueues.text", { location: info.device.location })}</p></main>`
        : html`<main class="main" data-queues=${crowd(info.queues.length)}>
            <${Calls} state=${state} />
            <${Queues} state=${state} info=${info} />
          </main>`}
      <div class="aside" role="alert" aria-atomic="true">${state.spoken.value}</div>
    </div>
  `;
}

/** @param {number} queues */
const crowd = (queues) => (queues === 1 ? "one" : queues <= 4 ? "few" : queues <= 8 ? "some" : "many");

/** @param {{info: DeviceInfo}} props */
function Head({ info }) {
  const at = now.value;
  return html`
    <header class="head">
      <div>
        <h1 dir="auto">${info.device.location}</h1>
        <p dir="auto">${info.institution.name}</p>
        ${arrivalCode.value && html`<p class="arrival" data-testid="arrival-code">${t("arrival.code", { code: arrivalCode.value })}</p>`}
      </div>
      ${locked.value && html`<button class="sound" type="button" onClick=${unlock}><${Speaker} />${t("board.sound")}</button>`}
      <div class="when">
        <time class="clock" datetime=${new Date(at).toISOString()}>${clockTime(at)}</time>
        <p>${longDate(at)}</p>
      </div>
    </header>
  `;
}

/**
 * @param {State} state
 * @param {Call} call
 */
function rowOf(state, call) {
  const feed = state.feeds.value.get(Number(call.stream.split(":")[1]));
  return /** @type {BoardTicket | undefined} */ (feed?.rows.value.get(`t:${call.ticket}`));
}

/** @param {{state: State}} props */
function Calls({ state }) {
  const calls = state.calls.value;
  const presented = state.presented.value;
  /** @param {Call} call */
  const isCurrent = (call) => {
    const row = rowOf(state, call);
    return row?.state === "called" && row.call?.number === call.number;
  };
  // The call being announced may have left the list by being taken back: it is still being said.
  const hero = presented ?? calls.find(isCurrent) ?? null;
  const rest = calls.filter((call) => call.stream !== hero?.stream || call.ticket !== hero.ticket);
  return html`
    <section class="calls" aria-label=${t("board.calls")}>
      ${hero
        ? html`<${Hero} key=${hero.key} call=${hero} fresh=${presented !== null} />`
        : html`<div class="hero is-empty"><div class="hero-in"><h2>${t("board.empty.title")}</h2><p>${t("board.empty.text")}</p></div></div>`}
      ${rest.length > 0 &&
      html`<ol class="list" data-rows=${rest.length <= 3 ? "few" : rest.length <= 6 ? "some" : "many"}>
        ${rest.map((call) => html`<${Line} key=${`${call.stream}/${call.ticket}`} call=${call} current=${isCurrent(call)} />`)}
      </ol>`}
    </section>
  `;
}

/** How long a desk's name is; the styles make long ones smaller. @param {string} desk */
const long = (desk) => (desk.length > 18 ? "very" : desk.length > 7 ? "yes" : "no");

/** @param {{call: Call, fresh: boolean}} props */
function Hero({ call, fresh }) {
  return html`
    <div class=${`hero ${fresh ? "is-fresh" : ""}`} data-testid="board-call" data-token=${call.token} data-version=${call.version} data-number=${call.number} data-state="called">
      <div class="hero-in">
        <h2>${call.number > 1 ? t("board.again") : t("board.now")}</h2>
        <p class="hero-call">
          <span class="token">${call.token}</span>
          <span class="hero-desk" data-long=${long(call.desk)}>
            <${Arrow} /><span class="aside">${t("board.to")} </span><bdi>${unbroken(call.desk)}</bdi>
          </span>
        </p>
      </div>
    </div>
  `;
}

/** @param {{call: Call, current: boolean}} props */
function Line({ call, current }) {
  return html`
    <li class=${`line ${current ? "is-current" : "is-past"}`} data-testid="board-call" data-token=${call.token} data-version=${call.version} data-number=${call.number} data-state=${current ? "called" : "past"}>
      <p class="line-in">
        <span class="token">${call.token}</span>
        <${Arrow} />
        <span class="aside">${t("board.to")} </span>
        <span class="line-desk" data-long=${long(call.desk)}><bdi>${unbroken(call.desk)}</bdi></span>
        <time class="line-at" datetime=${new Date(call.at).toISOString()}>${clockTime(call.at)}</time>
      </p>
    </li>
  `;
}

/** @param {{state: State, info: DeviceInfo}} props */
function Queues({ state, info }) {
  const feeds = state.feeds.value;
  return html`
    <section class="queues" aria-label=${t("board.queues")}>
      ${info.queues.map((queue) => html`<${QueueCard} key=${queue.id} name=${queue.name} doctor=${queue.doctor} alone=${info.queues.length === 1} feed=${feeds.get(queue.id)} />`)}
    </section>
  `;
}

/** @param {Rows} rows */
export function waitingIn(rows) {
  const tickets = /** @type {BoardTicket[]} */ ([...rows.values()].filter((row) => row.state === "waiting" && "rank" in row));
  return tickets.sort((a, b) => a.rank - b.rank || a.ticket - b.ticket);
}

/** @param {{name: string, doctor: string | null, alone: boolean, feed: Feed | undefined}} props */
function QueueCard({ name, doctor, alone, feed }) {
  const rows = feed?.rows.value ?? new Map();
  const queue = /** @type {QueueRow | undefined} */ (rows.get("queue"));
  const waiting = waitingIn(rows);
  const room = alone ? 9 : 4;
  const shown = waiting.length > room ? waiting.slice(0, room - 1) : waiting;
  const closed = queue && queue.state !== "open" ? queue.state : null;
  const wait = queue?.show_waits && !closed ? queue.waits[Math.min(waiting.length, queue.waits.length - 1)] : undefined;
  const told = wait && waiting.length < (queue?.waits.length ?? 0) ? waitRange(wait[0], wait[1], "wait.short") : null;
  const [title, by] = titled(queue?.name ?? name, queue ? queue.doctor : doctor);
  return html`
    <article class=${`queue ${closed ? "is-closed" : ""}`} data-queue-state=${queue?.state}>
      <div class="queue-head">
        <h3 dir="auto">${title}</h3>
        ${by && html`<p dir="auto">${by}</p>`}
        ${closed && html`<p class="queue-state">${t(`board.${closed}`)}</p>`}
      </div>
      ${queue?.message && html`<p class="queue-note" dir="auto">${queue.message}</p>`}
      ${waiting.length > 0
        ? html`<div class="queue-next">
            <h4>${t("board.next")}</h4>
            <ol>
              ${shown.map((ticket) => html`<li key=${ticket.ticket} class="token">${ticket.token}</li>`)}
              ${waiting.length > shown.length && html`<li class="queue-more">${t("board.more", { n: waiting.length - shown.length })}</li>`}
            </ol>
          </div>`
        : !closed && html`<p class="queue-none">${t("board.nobody")}</p>`}
      ${told && html`<p class="queue-wait"><span>${t("board.arrivals.label")}</span> <strong>${told}</strong></p>`}
    </article>
  `;
}

/** @param {{freshAt: number}} props */
function Stale({ freshAt }) {
  // Both by this machine's clock; `now` only makes it tick.
  void now.value;
  const age = span((Date.now() - freshAt) / 1_000);
  return html`<div class="stale" role="status" data-testid="board-stale"><strong>${t("link.stale")}</strong> <span>${t("link.age", { age })}</span></div>`;
}

function Pairing() {
  const left = (expires.value - now.value) / 1_000;
  const [first, second] = (code.value ?? "").split("-");
  return html`
    <main class="pairing">
      <h1>${t("board.pair.title")}</h1>
      ${code.value
        ? html`<p class="pairing-code" data-testid="board-code" data-code=${code.value} aria-label=${Array.from(code.value).join(" ")}>
            <span>${first}</span>${second && html`<i>-</i><span>${second}</span>`}
          </p>`
        : html`<p class="pairing-code is-blank" aria-hidden="true">····</p>`}
      <p class="lead">${code.value ? t("board.pair.text") : t("board.pair.wait")}</p>
      <p class="pairing-note" role="status">${unreachable.value ? t("board.pair.offline") : code.value && left > 0 ? t("board.pair.new", { time: timer(left) }) : ""}</p>
    </main>
  `;
}

export const Fault = () => html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p class="lead">${t("fault.text")}</p></main>`;

const Arrow = () => html`<svg class="arrow" viewBox="0 0 32 32" aria-hidden="true" focusable="false"><path d="M4 16h22M17 6l10 10-10 10" /></svg>`;

const Speaker = () => html`<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M4 9v6h4l5 4V5L8 9H4Zm12.5-.5a5 5 0 0 1 0 7M19 6a8.5 8.5 0 0 1 0 12" /></svg>`;
