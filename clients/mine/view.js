// @ts-check
/**
 * Owns how somebody's own appointments look: the next one large, the others below, what has been at the end.
 *
 * @import {PatientAppointment, PatientTicket} from "../shared/wire.js"
 */
import { useEffect } from "preact/hooks";

import { phoneAt, zoneAt } from "../book/catalogue.js";
import { Call } from "../shared/call.js";
import { Shell } from "../book/shell.js";
import { clockTime, datePart, has, longDate, t } from "../shared/i18n.js";
import { PushChoice } from "../shared/push.js";
import { user } from "../shared/session.js";
import { html, unbroken } from "../shared/ui.js";
import { Here, link } from "./here.js";
import { Preferences, Toasts } from "./preferences.js";
import { Sheets } from "./sheets.js";
import { ahead, arrivable, begins, changeable, ended, help, isToday, leavable, past, pastProblem, readPast, said, ticketLink, tickets, told, wishes } from "./state.js";
import { Offers, Waits } from "./waits.js";

export const Mine = () => (user.value === null && link.value ? html`<${Here} />` : html`<${Shell} title=${t("mine.signin")} current="mine" testid="mine-page"><${Whole} /><//>`);

function Whole() {
  if (!user.value?.patient_id) return html`<main class="mine"><h1>${t("mine.title")}</h1><div class="nothing"><p>${t("mine.staff")}</p><a class="button main" href="/book">${t("book.title")}</a></div></main>`;
  const list = ahead.value;
  const [first, ...rest] = list;
  return html`
    <main class="mine">
      <h1>${t("mine.title")}</h1>
      <${Toasts} />
      <p class="said" role="status" data-testid="said">${said.value}</p>
      ${help.value && html`<${Helped} />`}
      <${Offers} />
      ${tickets.value.map((one) => html`<${Ticket} key=${one.ticket} ticket=${one} />`)}
      ${!told.value && html`<p class="note" role="status">${t("link.connecting")}</p>`}
      ${told.value && list.length === 0 && html`<div class="nothing"><p>${t("mine.none")}</p><a class="button main" href="/book">${t("book.title")}</a></div>`}
      ${first && html`<section aria-labelledby="next-title"><h2 id="next-title">${t("mine.next")}</h2><${Card} one=${first} large=${true} /></section>`}
      ${rest.length > 0 && html`<section aria-labelledby="later-title"><h2 id="later-title">${t("mine.later")}</h2><ul class="cards">${rest.map((one) => html`<li key=${one.appointment}><${Card} one=${one} /></li>`)}</ul></section>`}
      <${Waits} />
      ${list.length > 0 && html`<a class="button more-book" href="/book">${t("book.done.another")}</a>`}
      ${ended.value.length > 0 && html`<section aria-labelledby="ended-title"><h2 id="ended-title">${t("mine.ended")}</h2><ul class="cards">${ended.value.map((one) => html`<li key=${one.appointment}><${Old} one=${one} /></li>`)}</ul></section>`}
      <${PushChoice} />
      <${Past} />
      <${Preferences} />
    </main>
    <${Sheets} />
  `;
}

/** @param {PatientAppointment} one */
const when = (one) => {
  const inZone = zoneAt(one.location);
  const start = Date.parse(one.starts_at);
  return { start, day: longDate(start, inZone), from: clockTime(start, inZone), to: one.ends_at ? clockTime(Date.parse(one.ends_at), inZone) : "", inZone };
};

/** @param {{one: PatientAppointment, large?: boolean}} props */
function Card({ one, large = false }) {
  const { start, day, from, to, inZone } = when(one);
  const who = one.doctor_name ?? t("book.any.of", { specialty: one.specialty_name ?? "" });
  return html`
    <article class=${`appointment is-${one.state} ${large ? "is-large" : ""}`} data-testid="appointment" data-appointment=${one.appointment} data-state=${one.state} aria-label=${`${day}, ${from}, ${who}`}>
      <div class="leaf" aria-hidden="true"><span>${datePart(start, { month: "short", timeZone: inZone })}</span><strong>${datePart(start, { day: "numeric", timeZone: inZone })}</strong><span>${datePart(start, { weekday: "short", timeZone: inZone })}</span></div>
      <div class="facts">
        <p class="facts-when"><strong>${from}${to && html`<span class="soft">–${to}</span>`}</strong> <span>${isToday(one) ? t("mine.today") : day}</span></p>
        <p><bdi>${who}</bdi>${one.doctor_name && one.specialty_name && html` <span class="soft">· ${one.specialty_name}</span>`}</p>
        <p class="soft">${[one.visit_type?.name, one.mode === "online" ? t("book.mode.online") : one.location_name].filter(Boolean).join(" · ")}</p>
        <p class="soft">${t("book.number")} <bdi dir="ltr">${one.number}</bdi></p>
        <${State} one=${one} />
      </div>
      <${Actions} one=${one} />
    </article>
  `;
}

/** @param {PatientAppointment} one */
const spoken = (one) => ({ day: when(one).day, time: when(one).from });

/** @param {{one: PatientAppointment}} props */
function State({ one }) {
  const stands = ahead.value.find((each) => each.appointment === one.rescheduled_from);
  const wish = wishes.value.get(one.appointment);
  if (one.state === "pending")
    return html`<p class="badge is-pending" role="status">${t("mine.state.pending")}</p>${one.expires_at && html`<p class="soft">${t("mine.pending.until", { day: longDate(Date.parse(one.expires_at), zoneAt(one.location)), time: clockTime(Date.parse(one.expires_at), zoneAt(one.location)) })}</p>`}${stands && html`<p class="soft">${t("mine.wish.instead", spoken(stands))}</p>`}`;
  const link = ticketLink(one);
  return html`
    <p class=${`badge is-${one.state}`} role="status">${t(`mine.state.${one.state}`)}</p>
    ${wish && html`<p class="soft">${t("mine.wish.asked", spoken(wish))}</p>`}
    ${one.state === "checked_in" && one.token && html`<p class="facts-token">${t("mine.token")} <strong class="token">${one.token}</strong> ${link && html`<a class="button" href=${link}>${t("mine.token.open")}</a>`}</p>`}
  `;
}

/** @param {{one: PatientAppointment}} props */
function Actions({ one }) {
  const open = changeable(one);
  const here = arrivable(one);
  const near = isToday(one) && one.mode === "in_person" && (one.state === "confirmed" || one.state === "checked_in");
  const wish = wishes.value.get(one.appointment);
  if (!open && !here && !near && !leavable(one) && one.state !== "confirmed") return null;
  return html`
    <div class="actions">
      ${here && html`<button class="button main" type="button" data-testid="check-in" onClick=${() => begins("check-in", one)}>${t("mine.checkin")}</button>`}
      ${open && !wish && one.doctor !== null && html`<button class="button" type="button" data-testid="move" onClick=${() => begins("move", one)}>${t("mine.move")}</button>`}
      ${open && html`<button class="button leave" type="button" data-testid="cancel" onClick=${() => begins("cancel", one)}>${one.state === "pending" ? t("mine.withdraw") : t("mine.cancel")}</button>`}
      ${leavable(one) && html`<button class="button leave" type="button" data-testid="leave" onClick=${() => begins("cancel", one)}>${t("ticket.leave")}</button>`}
      ${near && html`<button class="button leave" type="button" data-testid="help" onClick=${() => begins("help", one)}>${t("mine.help")}</button>`}
      ${open && one.state === "confirmed" && one.change_until && html`<p class="soft actions-note">${t("mine.until", { day: longDate(Date.parse(one.change_until), zoneAt(one.location)), time: clockTime(Date.parse(one.change_until), zoneAt(one.location)) })}</p>`}
      ${!open && one.state === "confirmed" && html`<p class="soft actions-note">${t("mine.toolate")} <${Call} phone=${phoneAt(one.location)} /></p>`}
    </div>
  `;
}

/** Where somebody stands in the queue, once they have checked in. @param {{ticket: PatientTicket}} props */
const Ticket = ({ ticket }) => html`
  <section class=${`turn-card ${ticket.state === "called" ? "is-called" : ""}`} role="status" data-testid="ticket" data-state=${ticket.state}>
    <p>${ticket.state === "called" ? t("ticket.turn") : ticket.state === "in_consultation" ? t("ticket.consultation") : ticket.state === "on_hold" ? t("ticket.hold") : t("mine.waiting", { queue: ticket.queue_name })}</p>
    <p class="turn-facts"><strong class="token">${ticket.token}</strong>${ticket.state === "called" && ticket.desk && html`<span>${t("ticket.turn.to")} <strong><bdi>${unbroken(ticket.desk)}</bdi></strong></span>`}</p>
  </section>
`;

function Helped() {
  const open = help.value;
  if (!open) return null;
  return html`<section class="helped" role="alert" data-testid="helped"><p><strong>${open.ended ? t("mine.help.ended") : open.by ? t("mine.help.coming", { name: open.by }) : t("mine.help.called")}</strong></p>${!open.ended && html`<p>${t("mine.help.stay")}</p>`}</section>`;
}

/** What is over. @param {{one: PatientAppointment}} props */
function Old({ one }) {
  const { start, from, inZone } = when(one);
  const why = one.state === "rejected" ? one.answer_reason : one.cancelled_by !== "patient" ? one.cancel_reason : null;
  return html`
    <article class=${`old is-${one.state}`} data-testid="old" data-appointment=${one.appointment} data-state=${one.state}>
      <div><p><strong>${datePart(start, { day: "numeric", month: "long", year: "numeric", timeZone: inZone })}, ${from}</strong></p><p class="soft"><bdi>${one.doctor_name ?? one.specialty_name ?? one.location_name}</bdi>${one.visit_type && html` · <bdi>${one.visit_type.name}</bdi>`}</p>${why && html`<p class="soft">${why}</p>`}</div>
      <div class="old-end"><span class="badge">${has(`mine.state.${one.state}`) ? t(`mine.state.${one.state}`) : one.state}</span>${one.doctor && html`<a class="button" href=${`/book#/doctor/${one.doctor}`}>${t("mine.again")}</a>`}</div>
    </article>
  `;
}

function Past() {
  const read = past.value;
  useEffect(() => void (read === null && readPast()), [read === null]);
  if (!read || read.items.length === 0) return pastProblem.value ? html`<p class="problem" role="alert">${pastProblem.value}</p>` : null;
  // What the stream still tells of stands above.
  const shown = new Set(ended.value.map((one) => one.appointment));
  const items = read.items.filter((one) => !shown.has(one.appointment));
  if (items.length === 0 && !read.next) return null;
  return html`
    <section aria-labelledby="past-title" class="past">
      <h2 id="past-title">${t("mine.past")}</h2>
      <ul class="cards">${items.map((one) => html`<li key=${one.appointment}><${Old} one=${one} /></li>`)}</ul>
      ${read.next && html`<button class="button" type="button" onClick=${readPast}>${t("mine.past.more")}</button>`}
    </section>
  `;
}
