// @ts-check
/**
 * Owns how free times look: a week as a strip of days, and a day's times by the part of the day, as they change.
 *
 * @import {Times} from "./times.js"
 * @import {Time} from "./days.js"
 * @typedef {{time: Time, free: number, left: number, until: number, hour: number}} Stands
 */
import { clockTime, datePart, locale, longDate, number, t, timer, zone } from "../shared/i18n.js";
import { now } from "../shared/clock.js";
import { html } from "../shared/ui.js";
import { Call } from "../shared/call.js";
import { locationBy, phoneAt, zoneAt } from "./catalogue.js";
import { PARTS, dayAfter, noon, partOf } from "./days.js";

/**
 * @param {{times: Times, day: string, chosen?: Time | null, several?: boolean, onDay: (day: string) => void, onWeek: (by: number) => void, onTime: (time: Time) => void, onNext: (time: Time) => void, wait?: (empty: boolean) => any}} props
 *   `several`: the times are of several doctors, any of whom will do; `wait`: what is offered where none is free
 */
export function Picker({ times, day, chosen = null, several = false, onDay, onWeek, onTime, onNext, wait }) {
  void locale.value;
  const days = times.days.value;
  const list = days.get(day) ?? [];
  const reading = times.state.value === "reading" && list.length === 0;
  const empty = [...days.values()].every((one) => one.length === 0);
  const full = !reading && times.state.value !== "failed" && chosen === null && list.every((one) => one.free <= 0);
  return html`
    <section class="picker" aria-labelledby="picker-title" aria-busy=${times.state.value === "reading"} data-testid="picker" data-state=${times.state.value}>
      <${Week} times=${times} day=${day} several=${several} onDay=${onDay} onWeek=${onWeek} />
      <h3 id="picker-title" class="picker-day">${longDate(noon(day), "UTC")}</h3>
      ${times.state.value === "failed" && html`<p class="problem" role="alert">${times.problem.value}</p>`}
      ${reading && html`<${Skeleton} />`}
      ${!reading && list.length === 0 && times.state.value !== "failed" && html`<${Nothing} times=${times} empty=${empty} onNext=${onNext} />`}
      ${!reading && PARTS.map((part) => html`<${Part} key=${part} part=${part} list=${one(list.filter(({ hour }) => partOf(hour) === part), several)} chosen=${chosen} several=${several} onTime=${onTime} />`)}
      ${full && wait?.(empty)}
      <${Elsewhere} times=${times} />
    </section>
  `;
}

/** One of each start, of several doctors': one that is free before one that isn't. @param {readonly Stands[]} list @param {boolean} several */
function one(list, several) {
  if (!several) return list;
  /** @type {Map<number, Stands & {doctors: number}>} */
  const found = new Map();
  for (const stands of list) {
    const before = found.get(stands.time.start);
    const doctors = (before?.doctors ?? 0) + (stands.free > 0 ? 1 : 0);
    found.set(stands.time.start, { ...(before && before.free > 0 ? before : stands), doctors });
  }
  return [...found.values()];
}

/** @param {{times: Times, day: string, several: boolean, onDay: (day: string) => void, onWeek: (by: number) => void}} props */
function Week({ times, day, several, onDay, onWeek }) {
  const days = times.days.value;
  const first = times.from.value <= times.today;
  const [from, to] = [noon(times.from.value), noon(dayAfter(times.from.value, 6))];
  return html`
    <div class="week">
      <div class="week-head">
        <button class="button quiet week-turn" type="button" aria-label=${t("book.week.before")} disabled=${first} onClick=${() => onWeek(-1)}><span aria-hidden="true">‹</span></button>
        <p aria-live="polite">${datePart(from, { month: "long", timeZone: "UTC" }) === datePart(to, { month: "long", timeZone: "UTC" }) ? datePart(from, { month: "long", year: "numeric", timeZone: "UTC" }) : `${datePart(from, { month: "short", timeZone: "UTC" })} – ${datePart(to, { month: "short", year: "numeric", timeZone: "UTC" })}`}</p>
        <button class="button quiet week-turn" type="button" aria-label=${t("book.week.after")} data-testid="week-after" onClick=${() => onWeek(1)}><span aria-hidden="true">›</span></button>
      </div>
      <ul class="days" aria-label=${t("book.days")}>
        ${[...days].map(([which, list]) => {
          const free = one(list, several).filter((each) => each.free > 0).length;
          return html`<li key=${which}>
            <button class="day" type="button" data-day=${which} data-free=${free} aria-pressed=${which === day} onClick=${() => onDay(which)}>
              <span class="aside">${`${longDate(noon(which), "UTC")}, ${t("book.day.free", { n: free })}`}</span>
              <span class="day-name" aria-hidden="true" data-narrow=${datePart(noon(which), { weekday: "narrow", timeZone: "UTC" })}>${datePart(noon(which), { weekday: "short", timeZone: "UTC" })}</span><strong aria-hidden="true">${datePart(noon(which), { day: "numeric", timeZone: "UTC" })}</strong><i aria-hidden="true">${free > 0 ? number(free) : "–"}</i>
            </button>
          </li>`;
        })}
      </ul>
    </div>
  `;
}

/** @param {{part: string, list: readonly Stands[], chosen: Time | null, several: boolean, onTime: (time: Time) => void}} props */
function Part({ part, list, chosen, onTime }) {
  if (list.length === 0) return null;
  const places = new Set(list.map(({ time }) => time.location)).size > 1;
  return html`
    <section class="part" aria-labelledby=${`part-${part}`}>
      <h4 id=${`part-${part}`}>${t(`book.part.${part}`)}</h4>
      <ul class="slots">${list.map((stands) => html`<li key=${stands.time.key}><${Slot} stands=${stands} chosen=${chosen?.key === stands.time.key} place=${places} onTime=${onTime} /></li>`)}</ul>
    </section>
  `;
}

/** A time; one that somebody holds stays where it is, so that a finger on its way hits nothing else. @param {{stands: Stands, chosen: boolean, place: boolean, onTime: (time: Time) => void}} props */
function Slot({ stands, chosen, place, onTime }) {
  const { time, free, until } = stands;
  const held = free <= 0 && !chosen;
  const at = clockTime(time.start, zoneAt(time.location));
  return html`
    <button class=${`slot ${held ? "is-held" : ""}`} type="button" aria-pressed=${chosen} aria-disabled=${held} data-testid="slot" data-slot=${time.slots[0]} data-free=${free} onClick=${() => held || onTime(time)}>
      <strong>${at}</strong>
      ${held ? html`<${Held} until=${until} />` : free > 1 ? html`<small>${t("book.slot.left", { n: free })}</small>` : null}
      ${place && html`<small class="slot-place">${locationBy(time.location)?.name}</small>`}
    </button>
  `;
}

/** How long somebody else still holds it; counted for the eye, said once to the ear. @param {{until: number}} props */
function Held({ until }) {
  const seconds = Math.max(0, (until - now.value) / 1_000);
  return html`<small><span class="aside">${t("book.slot.held")}</span><span aria-hidden="true">${t("book.slot.held.short", { time: timer(seconds) })}</span></small>`;
}

/** @param {{times: Times, empty: boolean, onNext: (time: Time) => void}} props */
function Nothing({ times, empty, onNext }) {
  const next = times.next.value;
  if (!empty) return html`<p class="nothing" role="status">${t("book.none.day")}</p>`;
  return html`
    <div class="nothing" role="status">
      <p>${t("book.none.week")}</p>
      ${next && html`<button class="button main" type="button" data-testid="next-free" onClick=${() => onNext(next)}>${t("book.next", { day: longDate(next.start, zoneAt(next.location)), time: clockTime(next.start, zoneAt(next.location)) })}</button>`}
      ${next === null && html`<p class="soft">${t("book.none.ever")} <${Call} phone=${phoneAt()} /></p>`}
    </div>
  `;
}

const Skeleton = () => html`<ul class="slots is-waiting" aria-hidden="true">${Array.from({ length: 9 }, (_, nth) => html`<li key=${nth}><span class="slot"></span></li>`)}</ul>`;

/** Somebody far away is told whose clock these times are by. @param {{times: Times}} props */
function Elsewhere({ times }) {
  const zones = new Set([zone.value, ...times.items.value.slice(0, 50).map((each) => zoneAt(each.location))].filter(Boolean));
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  /** @param {string | undefined} timeZone */
  const offset = (timeZone) => new Intl.DateTimeFormat("en", { timeZone, timeZoneName: "longOffset" }).format(now.value).split("GMT")[1];
  if ([...zones].every((timeZone) => offset(timeZone) === offset(here))) return null;
  return html`<p class="soft zone-note">${t("book.zone", { place: String(zone.value ?? "").split("/").pop()?.replaceAll("_", " ") ?? "" })}</p>`;
}
