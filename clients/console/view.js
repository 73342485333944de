// @ts-check
/**
 * Owns how the console looks: signing in, choosing a place, and the one page a doctor works on all day.
 *
 * @import {StaffTicket, Urgency} from "../shared/wire.js"
 */
import { useEffect, useState } from "preact/hooks";

import { AccountButton, AccountSheet } from "../shared/account.js";
import { coarse, now } from "../shared/clock.js";
import { Stale } from "../shared/connection.js";
import { Alarms, EmergencyButton, EmergencySheet } from "../shared/emergency.js";
import { bornIn, clockTime, has, number, span, t, timer } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { html, titled } from "../shared/ui.js";
import { Word } from "../shared/word.js";
import { Dialogs, dialog, open } from "./dialogs.js";
import { blocked, callNext, choosing, demo, deskName, emergencies, held, loaded, mine, others, pending, place, queue, queueItem, queues, resting, setDemo, shown, stats, take, ticketStep, undo, waiting, why } from "./work.js";

export function Console() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("console.signin.lead")} />`;
  if (queues.value === null) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (choosing.value || !place.value) return html`<${Choose} />`;
  return html`<${Desk} />`;
}

function Choose() {
  const all = queues.value ?? [];
  const [chosen, setChosen] = useState(String(place.value?.queue ?? all.find((one) => one.doctor_id === user.value?.doctor_id)?.id ?? all[0]?.id ?? ""));
  const item = all.find((one) => String(one.id) === chosen);
  const [desk, setDesk] = useState(String(place.value?.desk ?? ""));
  const found = item?.desks.find((one) => String(one.id) === desk) ?? item?.desks[0];
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    if (item && found) take({ queue: item.id, desk: found.id });
  };
  if (all.length === 0)
    return html`<main class="gate"><div class="gate-card"><h1>${t("console.pick.title")}</h1><p>${t("console.pick.none")}</p><button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button></div></main>`;
  return html`
    <main class="gate">
      <form class="gate-card" onSubmit=${submit}>
        <h1>${t("console.pick.title")}</h1>
        <p class="soft">${t("console.pick.text")}</p>
        <label class="field"><span>${t("console.queue")}</span>
          <select value=${chosen} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => setChosen(event.currentTarget.value)}>
            ${all.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${String(one.id) === chosen}>${[...titled(one.name, one.doctor), one.location].filter(Boolean).join(" · ")}</option>`)}
          </select>
        </label>
        ${item && item.desks.length > 0
          ? html`<fieldset class="radios">
              <legend>${t("console.desk.choose")}</legend>
              ${item.desks.map((one) => html`<label key=${one.id} class="radio"><input type="radio" name="desk" checked=${one.id === found?.id} onChange=${() => setDesk(String(one.id))} /><span>${one.name}</span></label>`)}
            </fieldset>`
          : html`<p>${t("console.pick.nodesks")}</p>`}
        <div class="gate-foot">
          <button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button>
          <button class="button main" type="submit" disabled=${!found}>${t("console.pick.go")}</button>
        </div>
      </form>
    </main>
  `;
}

function Desk() {
  return html`
    <div class="desk">
      <${Head} />
      <${Stale} />
      <${Alarms} list=${emergencies.value} />
      ${demo.value && html`<${Demo} />`}
      <main class="desk-main">
        <div class="desk-side">
          <${Room} />
          <${CallNext} />
          <${Today} />
        </div>
        <div class="desk-lists">
          <${Waiting} />
          <${Few} title=${t("console.held.title")} list=${held.value} />
          <${Few} title=${t("console.others.title")} list=${others.value} />
        </div>
      </main>
      <${Word} sheet=${dialog.value !== null} onUndo=${undo} hint="U" />
      <${Dialogs} />
      <${EmergencySheet} locations=${queueItem.value ? [{ id: queueItem.value.location_id, name: queueItem.value.location }] : []} />
      <${AccountSheet} />
    </div>
  `;
}

function Head() {
  const state = queue.value?.state ?? "open";
  return html`
    <header class="top">
      <h1 class="aside">${t("console.title")}</h1>
      <button class="button top-place" type="button" onClick=${() => (choosing.value = true)}>
        <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
        <span><strong dir="auto">${titled(queue.value?.name ?? queueItem.value?.name ?? "", queue.value?.doctor ?? null)[0]}</strong><small dir="auto">${deskName.value}</small></span>
      </button>
      <button class=${`button top-state is-${state}`} type="button" onClick=${() => open("state")} aria-label=${`${t("console.pause.title")}: ${t(`console.state.${state}`)}`}>
        <i class="dot"></i>${t(`console.state.${state}`)}${queue.value?.message && html`<small dir="auto">${queue.value.message}</small>`}
      </button>
      <div class="top-end">
        <${EmergencyButton} />
        <a class="button quiet" href="/agenda">${t("agenda.title")}</a>
        <a class="button quiet" href="/schedule">${t("schedule.title")}</a>
        <${AccountButton} />
        <${LanguageChoice} />
        <button class="button quiet top-keys" type="button" onClick=${() => open("keys")}>${t("console.keys")} <kbd>?</kbd></button>
        <button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>
      </div>
    </header>
  `;
}

function Demo() {
  const playing = demo.value?.state === "playing";
  return html`
    <aside class="banner is-demo" aria-label=${t("console.demo")}>
      <span>${playing ? t("console.demo.playing", { speed: demo.value?.speed ?? 1 }) : t("console.demo.paused")}</span>
      <button class="button" type="button" onClick=${() => setDemo(playing ? "paused" : "playing")}>${playing ? t("console.demo.pause") : t("console.demo.resume")}</button>
    </aside>
  `;
}

/** @param {{name: string, ticket: StaffTicket, label: string, hint?: string, kind?: string, onClick?: () => void}} props */
function Step({ name, ticket, label, hint, kind = "", onClick = () => void ticketStep(name, ticket) }) {
  const doing = pending.value?.name === name && pending.value.ticket === ticket.ticket;
  return html`<button class=${`button ${kind}`} type="button" data-step=${name} aria-busy=${doing} disabled=${pending.value !== null && !doing} onClick=${onClick}>${doing ? t("console.working") : label}${hint && html`<kbd aria-hidden="true">${hint}</kbd>`}</button>`;
}

function Room() {
  const ticket = mine.value;
  if (!ticket)
    return html`
      <section class="room is-free" aria-labelledby="room-title" data-testid="console-current">
        <h2 id="room-title">${t("console.room.empty")}</h2>
        <p>${t("console.room.empty.text")}</p>
      </section>
    `;
  const called = ticket.state === "called";
  const since = called ? ticket.call?.at ?? ticket.called_at : ticket.started_at;
  return html`
    <section class=${`room ${called ? "is-called" : "is-in"}`} aria-labelledby="room-title" data-testid="console-current" data-token=${ticket.token} data-state=${ticket.state}>
      <div class="room-head">
        <h2 id="room-title">${called ? t("console.called") : t("console.inconsultation")}</h2>
        <time class="room-timer" role="timer">${since ? timer((now.value - Date.parse(since)) / 1_000) : ""}</time>
      </div>
      <p class="room-who"><span class="token">${ticket.token}</span><bdi class="room-name">${ticket.patient.name}</bdi></p>
      <${About} ticket=${ticket} calls />
      ${called && html`<${Shown} />`}
      <div class="steps">
        ${called
          ? html`
              <${Step} name="start" ticket=${ticket} label=${t("console.start")} hint="S" kind="main wide" />
              <${Step} name="recall" ticket=${ticket} label=${t("console.recall")} hint="R" />
              <${Step} name="no-show" ticket=${ticket} label=${t("console.noshow")} hint="N" />
            `
          : html`<${Step} name="complete" ticket=${ticket} label=${t("console.complete")} hint="C" kind="main wide" />`}
        ${called &&
        html`
          <${Step} name="hold" ticket=${ticket} label=${t("console.hold")} hint="H" onClick=${() => open("hold", ticket)} />
          <${Step} name="return" ticket=${ticket} label=${t("console.return")} hint="B" onClick=${() => open("return", ticket)} />
        `}
        <${Step} name="transfer" ticket=${ticket} label=${t("console.transfer")} hint="T" onClick=${() => open("transfer", ticket)} />
        ${ticket.undo && html`<${Step} name="undo" ticket=${ticket} label=${t("console.undo")} hint="U" onClick=${undo} />`}
      </div>
    </section>
  `;
}

/** A requirement in the reader's language, or as it was written. @param {string} need */
const wanted = (need) => (has(`need.${need}`) ? t(`need.${need}`) : need);

/** @param {{ticket: StaffTicket, calls?: boolean}} props */
function About({ ticket, calls = false }) {
  const times = ticket.call?.number ?? 0;
  return html`
    <ul class="about">
      ${ticket.urgency !== "routine" && html`<li><${Badge} urgency=${ticket.urgency} /></li>`}
      ${ticket.requirements.map((need) => html`<li key=${need} class="chip">${wanted(need)}</li>`)}
      ${ticket.patient.birth_year && html`<li class="soft">${t("console.born", { year: bornIn(ticket.patient) })}</li>`}
      ${calls && times > 1 && html`<li class="soft">${t("console.calls.n", { n: times })}</li>`}
      ${ticket.reason && html`<li class="about-reason" dir="auto">${ticket.reason}</li>`}
    </ul>
  `;
}

/** @param {{urgency: Urgency}} props */
const Badge = ({ urgency }) => html`<span class=${`badge is-${urgency}`}>${t(`urgency.${urgency}`)}</span>`;

function Shown() {
  const found = shown.value;
  if (!found) return null;
  const { total, shown: count, late } = found;
  const all = count === total;
  const text = total === 0 ? t("console.shown.none") : all ? t("console.shown.all", { total, shown: count }) : t("console.shown.some", { total, shown: count });
  return html`
    <div class=${`shown ${late.length > 0 || total === 0 ? "is-late" : all ? "is-all" : ""}`} role="status" data-testid="console-shown" data-shown=${count} data-total=${total} data-late=${late.length}>
      <p><strong>${text}</strong></p>
      ${late.length > 0 && html`<p>${t("console.shown.late", { names: late.join(", ") })}. ${t("console.shown.late.text")}</p>`}
    </div>
  `;
}

function CallNext() {
  const first = waiting.value[0];
  const calling = pending.value?.name === "call-next";
  const why = blocked.value;
  const inRoom = mine.value;
  const closed = queue.value?.state === "closed";
  const note = why || (first && inRoom ? t("console.callnext.completes", { token: inRoom.token, next: first.token }) : first ? t("console.callnext.first", { next: first.token }) : "");
  return html`
    <div class="next">
      <button class="next-button" type="button" data-testid="console-call-next" aria-describedby="next-note" aria-busy=${calling} aria-disabled=${why !== "" || pending.value !== null || resting.value} onClick=${callNext}>
        ${calling ? t("console.callnext.busy") : t("console.callnext")}
        <kbd aria-hidden="true">${t("console.key.space")}</kbd>
      </button>
      <p id="next-note" class="next-note">${note}${closed && !why ? ` ${t("console.callnext.closed")}` : ""}</p>
    </div>
  `;
}

function Today() {
  const day = stats.value;
  if (!day) return html`<dl class="today" aria-hidden="true"></dl>`;
  /** @param {number | null} seconds */
  const minutes = (seconds) => (seconds === null ? "–" : t("console.minutes", { n: Math.round(seconds / 60) }));
  const facts = [
    [number(day.served), t("console.stats.served")],
    [number(day.no_shows), t("console.stats.noshows")],
    [minutes(day.wait_mean_s), t("console.stats.mean")],
    [minutes(day.wait_p90_s), t("console.stats.p90")],
  ];
  return html`<dl class="today" aria-label=${t("console.stats")}>${facts.map(([value, label]) => html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Waiting() {
  const list = waiting.value;
  const [opened, setOpened] = useState(/** @type {number | null} */ (null));
  return html`
    <section class="list" aria-labelledby="waiting-title">
      <h2 id="waiting-title">${t("console.queue.title")} <span class="count">${number(list.length)}</span></h2>
      ${!loaded.value
        ? html`<p class="list-empty">${t("link.connecting")}</p>`
        : list.length === 0
          ? html`<div class="list-empty"><strong>${t("console.queue.empty")}</strong><p>${t("console.queue.empty.text")}</p></div>`
          : html`<ol class="rows">
              ${list.map((ticket, at) => html`<${Row} key=${ticket.ticket} ticket=${ticket} at=${at} before=${list[at - 1]} opened=${opened === ticket.ticket} onToggle=${() => setOpened(opened === ticket.ticket ? null : ticket.ticket)} />`)}
            </ol>`}
    </section>
  `;
}

/** @param {{ticket: StaffTicket, at: number, before: StaffTicket | undefined, opened: boolean, onToggle: () => void}} props */
function Row({ ticket, at, before, opened, onToggle }) {
  const waited = (coarse.value - Date.parse(ticket.joined_at)) / 1_000;
  return html`
    <li class=${`row ${opened ? "is-open" : ""}`} data-testid="console-row" data-ticket=${ticket.ticket} data-token=${ticket.token}>
      <button class="row-main" type="button" aria-expanded=${opened} onClick=${onToggle}>
        <span class="row-place" aria-label=${t("console.place", { n: at + 1 })}>${number(at + 1)}</span>
        <span class="token row-token">${ticket.token}</span>
        <span class="row-who"><strong dir="auto">${ticket.patient.name}</strong>${ticket.reason && html`<small dir="auto">${ticket.reason}</small>`}</span>
        <span class="row-marks">
          ${ticket.urgency !== "routine" && html`<${Badge} urgency=${ticket.urgency} />`}
          ${ticket.requirements.map((need) => html`<span key=${need} class="chip">${wanted(need)}</span>`)}
        </span>
        <span class="row-waited"><span class="aside">${t("console.waited")} </span>${waited < 60 ? t("time.now") : span(waited)}</span>
      </button>
      ${opened && html`<${RowMore} ticket=${ticket} before=${before} />`}
    </li>
  `;
}

/** @param {{ticket: StaffTicket, before: StaffTicket | undefined}} props */
function RowMore({ ticket, before }) {
  const [answer, setAnswer] = useState("");
  // Of a score the factors are told below, one by one.
  const reasons = ticket.order_reasons.filter((reason) => !ticket.score || reason.code !== "score");
  useEffect(() => {
    let current = true;
    setAnswer("");
    if (before) void why(before.ticket, ticket.ticket).then((text) => current && setAnswer(text));
    return () => void (current = false);
  }, [before?.ticket, ticket.ticket]);
  return html`
    <div class="more">
      <div class="more-why">
        <h3>${t("console.why")}</h3>
        ${reasons.length > 0
          ? html`<ul>${reasons.map((reason, index) => html`<li key=${index}>${has(`order.${reason.code}`) ? t(`order.${reason.code}`, { detail: reason.detail }) : reason.detail || reason.code}</li>`)}</ul>`
          : html`<p>${t("console.why.none")}</p>`}
        ${ticket.score &&
        html`<p class="score"><strong>${t("console.why.score", { total: ticket.score.total })}</strong> ${ticket.score.factors.map((one) => html`<span key=${one.factor} class="chip">${has(`factor.${one.factor}`) ? t(`factor.${one.factor}`) : one.factor} ${one.points > 0 ? "+" : ""}${number(one.points)}</span>`)}</p>`}
        ${before && answer && html`<p class="soft">${t("console.why.before", { token: before.token })}: <span data-testid="console-because">${answer}</span></p>`}
        <p class="soft">${t("ticket.since", { time: clockTime(Date.parse(ticket.joined_at)) })}${ticket.patient.birth_year ? ` · ${t("console.born", { year: bornIn(ticket.patient) })}` : ""}${ticket.patient.phone ? html` · <bdi>${ticket.patient.phone}</bdi>` : ""}</p>
      </div>
      <div class="more-steps">
        <${Step} name="call" ticket=${ticket} label=${t("console.callthis")} onClick=${() => open("call", ticket)} />
        <${Step} name="prioritize" ticket=${ticket} label=${t("console.prioritize")} onClick=${() => open("prioritize", ticket)} />
        <${Step} name="hold" ticket=${ticket} label=${t("console.hold")} onClick=${() => open("hold", ticket)} />
        <${Step} name="transfer" ticket=${ticket} label=${t("console.transfer")} onClick=${() => open("transfer", ticket)} />
        <${Step} name="cancel" ticket=${ticket} label=${t("console.cancel.action")} onClick=${() => open("cancel", ticket)} />
      </div>
    </div>
  `;
}

/** Those on hold, or with colleagues: few, and with fewer steps. @param {{title: string, list: StaffTicket[]}} props */
function Few({ title, list }) {
  if (list.length === 0) return null;
  return html`
    <section class="list" aria-label=${title}>
      <h2>${title} <span class="count">${number(list.length)}</span></h2>
      <ul class="rows">
        ${list.map(
          (ticket) => html`
            <li key=${ticket.ticket} class="row" data-testid="console-row" data-ticket=${ticket.ticket} data-token=${ticket.token}>
              <div class="row-main is-plain">
                <span class="token row-token">${ticket.token}</span>
                <span class="row-who"><strong dir="auto">${ticket.patient.name}</strong><small>${ticket.state === "on_hold" ? ticket.reason : `${t(`value.${ticket.state}`)} · ${ticket.desk ?? ""}`}</small></span>
                <span class="row-marks">${ticket.urgency !== "routine" && html`<${Badge} urgency=${ticket.urgency} />`}</span>
                ${ticket.state === "on_hold" && html`<span class="row-steps"><${Step} name="call" ticket=${ticket} label=${t("console.callthis")} onClick=${() => open("call", ticket)} /><${Step} name="return" ticket=${ticket} label=${t("console.return")} onClick=${() => open("return", ticket)} /></span>`}
              </div>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}
