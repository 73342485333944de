// @ts-check
/**
 * Owns how the schedule page looks: the week as a grid, drawn either as it is or as a draft of working sessions.
 *
 * @import {Session} from "./week.js"
 * @import {Slot, Weekly} from "./work.js"
 */
import { AccountButton, AccountSheet } from "../shared/account.js";
import { Stale } from "../shared/connection.js";
import { clockTime, datePart, dayName, fullDate, number, t, wallTime, zone } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { dayOf, plusDays, wall } from "../shared/times.js";
import { html } from "../shared/ui.js";
import { Word } from "../shared/word.js";
import { BlockSheet, BulkSheet, EndSheet, OneSheet, OverSheet, SessionSheet, SlotSheet } from "./sheets.js";
import { DAY, STEP, length, minutes, moved, resized, slotsOf } from "./week.js";
import { arranged, busy, calendar, choose, day, days, discard, doctors, draft, edit, isDoctor, preview, redraw, refusal, replace, save, sheet, shut, spot, today, who } from "./work.js";

/** A weekday's name; 0 is Monday. @param {number} weekday @param {boolean} [short] */
const weekdayName = (weekday, short = false) => datePart(Date.UTC(2024, 0, 1 + weekday), { weekday: short ? "short" : "long", timeZone: "UTC" });

export function Schedule() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("schedule.signin")} />`;
  if (user.value.role === "patient") return html`<main class="calm-screen"><h1>${t("agenda.staff")}</h1><button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button></main>`;
  return html`
    <div class="plan">
      <${Head} />
      <${Stale} />
      ${shut.value ? html`<p class="plan-empty">${t("schedule.shut")}</p>` : arranged.value ? html`<main class="plan-main">${draft.value ? html`<${Drafted} />` : html`<${AsItIs} />`}</main>` : html`<p class="plan-empty">${t("link.connecting")}</p>`}
      <${Word} sheet=${sheet.value !== null} />
      ${sheet.value?.()}
      <${AccountSheet} />
    </div>
  `;
}

function Head() {
  return html`
    <header class="top">
      <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
      <h1 class="plan-name">${t("schedule.title")}</h1>
      ${isDoctor.value
        ? html`<strong dir="auto">${arranged.value?.doctor_name}</strong>`
        : html`<label class="plan-doctor"><span class="aside">${t("agenda.doctor")}</span>
            <select value=${String(who.value)} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => choose(Number(event.currentTarget.value))}>
              ${doctors.value.map((one) => html`<option key=${one.id} value=${String(one.id)} selected=${one.id === who.value}>${one.name}</option>`)}
            </select>
          </label>`}
      <nav class="plan-links"><a class="button quiet" href="/agenda">${t("agenda.title")}</a></nav>
      <div class="top-end"><${AccountButton} /><${LanguageChoice} /><button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button></div>
    </header>
  `;
}

// The week as it is

function AsItIs() {
  const shown = days.value;
  const all = calendar.value;
  const [first = "", last = ""] = [shown[0], shown[6]];
  return html`
    <section class="plan-schedules" aria-label=${t("schedule.weekly")}>
      ${arranged.value?.items.map((one) => html`<${Card} key=${one.id} one=${one} />`)}
      <button class="button main" type="button" onClick=${() => edit(null)} disabled=${arranged.value?.locations.length === 0}>${t("schedule.new")}</button>
    </section>
    <div class="plan-bar">
      <h2>${dayName(first)} – ${dayName(last)}</h2>
      <div class="plan-turn">
        <button class="button" type="button" aria-label=${t("schedule.week.before")} onClick=${() => (day.value = plusDays(first, -7))}><span class="arrow" aria-hidden="true">←</span></button>
        <button class="button" type="button" onClick=${() => (day.value = "")}>${t("schedule.week.this")}</button>
        <button class="button" type="button" aria-label=${t("schedule.week.after")} onClick=${() => (day.value = plusDays(first, 7))}><span class="arrow" aria-hidden="true">→</span></button>
      </div>
      <button class="button" type="button" onClick=${() => (sheet.value = () => html`<${BulkSheet} />`)}>${t("schedule.bulk")}</button>
      <button class="button" type="button" onClick=${() => (sheet.value = () => html`<${BlockSheet} />`)}>${t("schedule.block")}</button>
    </div>
    ${all?.blocks.map((one) => html`<p class="plan-block" key=${one.id}><span><strong>${t(`schedule.kind.${one.kind}`)}</strong> ${fullDate(one.starts_at)} ${clockTime(Date.parse(one.starts_at))} – ${fullDate(one.ends_at)} ${clockTime(Date.parse(one.ends_at))} ${one.reason && html`<span dir="auto">${one.reason}</span>`}</span>
      ${(!isDoctor.value || one.doctor_id === who.value) && html`<button class="button" type="button" onClick=${() => (sheet.value = () => html`<${OverSheet} block=${one} />`)}>${t("schedule.unblock")}</button>`}</p>`)}
    <${Grid} range=${rangeOf((all?.slots ?? []).flatMap((one) => [minuteOf(one.starts_at), minuteOf(one.ends_at) || DAY]))} heads=${shown.map((one) => ({ text: dayName(one), today: one === today.value, add: one >= today.value && html`<button class="button quiet" type="button" aria-label=${t("schedule.one.on", { day: dayName(one) })} onClick=${() => (sheet.value = () => html`<${OneSheet} day=${one} />`)}>+</button>` }))}
      columns=${shown.map((one) => html`${all?.slots.filter((slot) => dayOf(Date.parse(slot.starts_at), zone.value) === one).map((slot) => html`<${SlotTile} key=${slot.id} slot=${slot} />`)}`)} />
    ${!all && html`<p class="plan-empty">${t("link.connecting")}</p>`}
    ${all?.slots.length === 0 && html`<p class="plan-empty">${t("schedule.noslots")}</p>`}
  `;
}

/** @param {{one: Weekly}} props */
const Card = ({ one }) => html`
  <article class=${`plan-card ${one.holds ? "is-now" : ""}`}>
    <h3 dir="auto">${spot(one.location_id)?.name}</h3>
    <p>${one.holds ? t("schedule.holds") : t("schedule.from", { day: fullDate(one.starts_on) })} ${one.ends_on && t("schedule.until", { day: fullDate(one.ends_on) })} ${one.every_weeks > 1 && t("schedule.every", { n: one.every_weeks })}</p>
    <ul class="plan-sum soft">${one.week.map((each, nth) => html`<li key=${nth}>${weekdayName(each.weekday, true)} <bdi>${wallTime(each.starts)}–${wallTime(each.ends)}</bdi></li>`)}</ul>
    <div class="plan-card-foot">
      <button class="button" type="button" onClick=${() => edit(one)}>${t("schedule.change")}</button>
      <button class="button quiet" type="button" onClick=${() => (sheet.value = () => html`<${EndSheet} weekly=${one} />`)}>${t("schedule.end")}</button>
    </div>
  </article>
`;

/** @param {string} iso */
const minuteOf = (iso) => minutes(wall(Date.parse(iso), zone.value).slice(11, 16));

/** @param {Slot} slot */
const stateOf = (slot) => (slot.block_id ? "blocked" : !slot.open ? "closed" : slot.taken >= slot.capacity ? "full" : slot.taken > 0 ? "part" : "free");

/** @param {{slot: Slot}} props */
function SlotTile({ slot }) {
  const state = stateOf(slot);
  const from = minuteOf(slot.starts_at);
  const times = `${clockTime(Date.parse(slot.starts_at))}–${clockTime(Date.parse(slot.ends_at))}`;
  const lasts = Math.round((Date.parse(slot.ends_at) - Date.parse(slot.starts_at)) / 60_000);
  return html`<button type="button" class=${`tile is-${state}`} style=${{ "--from": from, "--for": lasts }} data-testid="slot" aria-label=${`${times}: ${t(`schedule.state.${state}`)} ${t("schedule.seats", { taken: slot.taken, capacity: slot.capacity })}`}
    onClick=${() => (sheet.value = () => html`<${SlotSheet} slot=${slot} />`)}><span>${clockTime(Date.parse(slot.starts_at))}</span>${slot.capacity > 1 && html`<small>${number(slot.taken)}/${number(slot.capacity)}</small>`}</button>`;
}

/** The hours that need to be drawn. @param {number[]} marks */
function rangeOf(marks) {
  const from = Math.min(7 * 60, ...marks);
  const to = Math.max(19 * 60, ...marks);
  return { from: Math.max(0, Math.floor(from / 60) * 60), to: Math.min(DAY, Math.ceil(to / 60) * 60) };
}

/** @param {{range: {from: number, to: number}, heads: {text: string, today?: boolean, add?: any}[], columns: any[], onPress?: (weekday: number, minute: number) => void}} props */
function Grid({ range, heads, columns, onPress }) {
  const hours = Array.from({ length: (range.to - range.from) / 60 }, (_, nth) => range.from / 60 + nth);
  return html`
    <div class="grid" style=${{ "--begin": range.from, "--span": range.to - range.from }}>
      <div class="grid-hours" aria-hidden="true">${hours.map((hour) => html`<span key=${hour}>${datePart(hour * 3_600_000, { hour: "numeric", timeZone: "UTC" })}</span>`)}</div>
      ${columns.map((column, weekday) => html`
        <section class=${`grid-day ${heads[weekday]?.today ? "is-today" : ""}`} key=${weekday} aria-label=${heads[weekday]?.text}>
          <header><h3>${heads[weekday]?.text}</h3>${heads[weekday]?.add}</header>
          <div class="grid-column" data-weekday=${weekday} onDblClick=${(/** @type {MouseEvent & {currentTarget: HTMLElement}} */ event) => {
            if (!onPress || event.target !== event.currentTarget) return;
            const box = event.currentTarget.getBoundingClientRect();
            onPress(weekday, range.from + Math.floor((((event.clientY - box.top) / box.height) * (range.to - range.from)) / STEP) * STEP);
          }}>${column}</div>
        </section>`)}
    </div>
  `;
}

// The draft

function Drafted() {
  const one = draft.value;
  if (!one) return null;
  const set = (/** @type {string} */ name, /** @type {(text: string) => any} */ read) => (/** @type {{currentTarget: HTMLInputElement}} */ event) => redraw({ [name]: read(event.currentTarget.value) });
  return html`
    <form class="plan-form" onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), void save())}>
      <label class="field"><span>${t("schedule.location")}</span>
        <select value=${String(one.location_id)} disabled=${one.id !== null} onChange=${set("location_id", Number)}>
          ${arranged.value?.locations.map((place) => html`<option key=${place.id} value=${String(place.id)} selected=${place.id === one.location_id}>${place.name}</option>`)}
        </select></label>
      <label class="field"><span>${t("schedule.starts_on")}</span><input type="date" required value=${one.starts_on} onChange=${set("starts_on", (text) => text || one.starts_on)} /></label>
      <label class="field"><span>${t("schedule.ends_on")}</span><input type="date" value=${one.ends_on ?? ""} onChange=${set("ends_on", (text) => text || null)} /></label>
      <label class="field"><span>${t("schedule.recurs")}</span>
        <select value=${String(one.every_weeks)} onChange=${set("every_weeks", Number)}>
          ${[1, 2, 3, 4].map((n) => html`<option key=${n} value=${String(n)} selected=${n === one.every_weeks}>${n === 1 ? t("schedule.weekly.each") : t("schedule.every", { n })}</option>`)}
        </select></label>
      <div class="plan-form-foot">
        <button class="button" type="button" onClick=${discard}>${t("console.cancel")}</button>
        <button class="button main" type="submit" disabled=${busy.value || one.week.length === 0 || refusal.value !== ""} aria-busy=${busy.value}>${t("schedule.save")}</button>
      </div>
    </form>
    <${Effect} />
    <p class="soft plan-keys">${t("schedule.keys")}</p>
    <${Grid} range=${rangeOf(one.week.flatMap((each) => [minutes(each.starts), Math.min(DAY, minutes(each.starts) + length(each))]))}
      heads=${Array.from({ length: 7 }, (_, weekday) => ({ text: weekdayName(weekday), add: html`<button class="button quiet" type="button" aria-label=${t("schedule.add", { day: weekdayName(weekday) })} onClick=${() => add(weekday, 9 * 60)}>+</button>` }))}
      onPress=${add}
      columns=${Array.from({ length: 7 }, (_, weekday) => html`${one.week.map((each, nth) => each.weekday === weekday && html`<${SessionTile} key=${nth} session=${each} nth=${nth} />`)}`)} />
  `;
}

/** @param {number} weekday @param {number} minute */
function add(weekday, minute) {
  const week = draft.peek()?.week ?? [];
  const ends = Math.max(0, ...week.filter((one) => one.weekday === weekday).map((one) => minutes(one.starts) + length(one)));
  const from = Math.min(DAY - 60, Math.max(minute, ends));
  const two = (/** @type {number} */ at) => `${String(Math.floor(at / 60) % 24).padStart(2, "0")}:${String(at % 60).padStart(2, "0")}`;
  /** @type {Session} */
  const session = { weekday, starts: two(from), ends: two(Math.min(DAY, from + 180)), slot_minutes: 15, buffer_minutes: 0, capacity: 1, mode: "both", breaks: [] };
  redraw({ week: [...week, session] });
}

/** What saving would do. */
function Effect() {
  const found = preview.value;
  if (refusal.value) return html`<p class="problem" role="alert">${refusal.value}</p>`;
  if (!found) return html`<p class="plan-effect soft" role="status">${draft.value?.week.length ? t("schedule.preview.asking") : t("schedule.preview.none")}</p>`;
  return html`
    <section class="plan-effect" role="status" data-testid="preview">
      <p>${t("schedule.preview", { added: found.added, removed: found.removed, altered: found.altered })}</p>
      ${found.outside.length > 0 && html`<div class="plan-outside"><strong>${t("schedule.outside", { n: found.outside.length })}</strong>
        <ul>${found.outside.map((one) => html`<li key=${one.appointment_id}>${dayName(one.starts_at)} ${clockTime(Date.parse(one.starts_at))} <bdi>${one.patient_name}</bdi> <span class="soft">${one.number}</span> ${one.phone && html`<bdi dir="ltr">${one.phone}</bdi>`}</li>`)}</ul></div>`}
    </section>
  `;
}

/** @param {{session: Session, nth: number}} props */
function SessionTile({ session, nth }) {
  const open = () => (sheet.value = () => html`<${SessionSheet} session=${session} nth=${nth} />`);
  const times = `${wallTime(session.starts)}–${wallTime(session.ends)}`;
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const onward = (document.documentElement.dir === "rtl" ? -1 : 1) * (event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0);
    const down = event.key === "ArrowDown" ? STEP : event.key === "ArrowUp" ? -STEP : 0;
    if (event.key === "Delete") redraw({ week: (draft.peek()?.week ?? []).filter((_, at) => at !== nth) });
    else if (down && event.shiftKey) replace(nth, resized(session, down));
    else if (down || onward) replace(nth, moved(session, onward, down));
    else return;
    event.preventDefault();
    // On another day it is drawn anew; whoever moves it by keys goes on where it stands now.
    requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector(`[data-nth="${nth}"]`))?.focus());
  };
  return html`
    <div class="tile is-session" data-testid="session" style=${{ "--from": minutes(session.starts), "--for": Math.min(length(session), DAY - minutes(session.starts)) }}>
      <button type="button" class="tile-body" data-nth=${nth} onKeyDown=${onKey} onPointerDown=${(/** @type {any} */ event) => drag(event, nth, false)} onClick=${(/** @type {any} */ event) => (event.currentTarget.dataset.dragged ? delete event.currentTarget.dataset.dragged : open())}>
        <span class="aside">${weekdayName(session.weekday)} </span><strong>${times}</strong> <small>${t("schedule.slots", { n: slotsOf(session), m: session.slot_minutes })}</small>
        ${session.breaks.map((pause) => html`<small key=${pause.starts}>${t("schedule.break", { from: wallTime(pause.starts), to: wallTime(pause.ends) })}</small>`)}
      </button>
      <span class="tile-grip" aria-hidden="true" onPointerDown=${(/** @type {any} */ event) => drag(event, nth, true)}></span>
    </div>
  `;
}

/**
 * Follow a pointer until it lets go: the session moves, or its end does.
 * @param {PointerEvent & {currentTarget: HTMLElement}} event @param {number} nth @param {boolean} size
 */
function drag(event, nth, size) {
  const column = /** @type {HTMLElement | null} */ (event.currentTarget.closest(".grid-column"));
  const grid = /** @type {HTMLElement | null} */ (event.currentTarget.closest(".grid"));
  const session = draft.peek()?.week[nth];
  if (!column || !grid || !session || event.button !== 0 || getComputedStyle(column).position === "static") return;
  const handle = event.currentTarget;
  const box = column.getBoundingClientRect();
  const perMinute = box.height / Number(grid.style.getPropertyValue("--span"));
  const side = document.documentElement.dir === "rtl" ? -1 : 1;
  const from = { x: event.clientX, y: event.clientY };
  let last = session;
  const move = (/** @type {PointerEvent} */ at) => {
    const by = Math.round((at.clientY - from.y) / perMinute / STEP) * STEP;
    const across = Math.round(((at.clientX - from.x) * side) / box.width);
    const next = size ? resized(session, by) : moved(session, across, by);
    if (JSON.stringify(next) === JSON.stringify(last)) return;
    last = next;
    handle.dataset.dragged = "yes";
    replace(nth, next);
  };
  const stop = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", stop);
    removeEventListener("pointercancel", stop);
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", stop);
  addEventListener("pointercancel", stop);
  event.preventDefault();
  handle.focus();
}
