// @ts-check
/**
 * Owns a level's settings: what is set there, what it inherits and from where, and taking a value back to what is above.
 *
 * @typedef {"institution" | "location" | "queue"} Level
 * @import {Answer, Answered, Control, Standing, Typed} from "./settingsform.js"
 * @typedef {{weekday: number, opens: string, closes: string}} Opening
 */
import { useAnswer } from "../shared/answer.js";
import { get } from "../shared/api.js";
import { language, number, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Figure, SettingsForm, Switch } from "./settingsform.js";
import { retry, settingsTurn } from "./work.js";

/** Each setting, in the order in which it is read, and what kind of answer it takes. */
const SETTINGS = [
  { name: "order", kind: "order" },
  { name: "weights", kind: "weights" },
  { name: "hours", kind: "hours" },
  { name: "max_length", kind: "number", min: 1, max: 100_000 },
  { name: "walk_ins_per_day", kind: "number", min: 0, max: 1_000_000 },
  { name: "token_prefix", kind: "prefix" },
  { name: "token_digits", kind: "number", min: 1, max: 6 },
  { name: "show_waits", kind: "switch" },
  { name: "call_next_completes", kind: "switch" },
  { name: "appointment_on_time", kind: "place" },
  { name: "appointment_late", kind: "place" },
  { name: "appointment_grace_minutes", kind: "number", min: 0, max: 240 },
  { name: "show_arrival_code", kind: "switch" },
  { name: "closes_day", kind: "switch" },
];
const PLACES = ["appointment", "arrival"];
const ORDERS = ["urgent_first", "fifo", "scored"];
const WEIGHTS = ["per_minute", "urgent", "elderly", "elderly_from", "child", "child_to", "requirement"];
const DAYS = [0, 1, 2, 3, 4, 5, 6];
const ALWAYS = "always";
/** A weekday's name; 0 is Monday. @param {number} weekday @param {"long" | "short"} [form] */
const dayName = (weekday, form = "long") => new Intl.DateTimeFormat(language.value, { weekday: form, timeZone: "UTC" }).format(Date.UTC(2024, 0, 1 + weekday));

/**
 * A value in words.
 * @param {string} kind
 * @param {any} value
 */
function inWords(kind, value) {
  if (kind === "order") return t(`order-rule.${value}`);
  if (kind === "place") return t(`place.${value}`);
  if (kind === "switch") return t(value ? "admin.yes" : "admin.no");
  if (kind === "number") return number(value);
  if (kind === "prefix") return value || t("admin.set.prefix.none");
  if (kind === "hours") return value === ALWAYS ? t("admin.set.hours.always") : value.map((/** @type {Opening} */ one) => `${dayName(one.weekday, "short")} ${one.opens.slice(0, 5)}–${one.closes.slice(0, 5)}`).join(", ") || t("admin.set.hours.never");
  return t("admin.set.weights.some", { urgent: value.urgent, elderly: value.elderly, child: value.child });
}

/** @param {{level: Level, id: number, above: {level: Level, id: number} | null}} props */
export function Settings({ level, id, above }) {
  const path = `/${level}s/${id}/settings`;
  const both = () => /** @type {Promise<[Answer, Answer | null]>} */ (Promise.all([get(path), above ? get(`/${above.level}s/${above.id}/settings`) : null]));
  const [found] = useAnswer(both, [path, settingsTurn.value], retry);
  if (!found) return html`<p class="soft">${t("link.connecting")}</p>`;
  const [answer, higher] = found;
  /** @param {Standing} one */
  const note = ({ name, kind, value, origin, own }) => {
    if (!own) return t(origin === "default" ? "admin.set.default" : "admin.set.inherited", { level: t(`level.${origin}`), value: inWords(kind, value) });
    const inherited = higher?.effective[name];
    return inherited === undefined ? t("admin.set.own") : t("admin.set.own.over", { level: t(`level.${higher?.origin[name] ?? "default"}`), value: inWords(kind, inherited) });
  };
  return html`<${SettingsForm} path=${path} level=${level} family="admin.set" doing="settings" testid="admin-settings" answer=${answer} settings=${SETTINGS} note=${note} control=${(/** @type {Control} */ one) => html`<${CONTROLS[one.kind]} ...${one} />`} />`;
}

/** @param {Answered} props */
const Order = ({ label, value, onChange }) => html`
  <select aria-labelledby=${label} value=${value} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onChange(event.currentTarget.value)}>
    ${ORDERS.map((one) => html`<option key=${one} value=${one} selected=${one === value}>${t(`order-rule.${one}`)}</option>`)}
  </select>
`;

/** @param {Answered} props */
const Place = ({ label, value, onChange }) => html`
  <select aria-labelledby=${label} value=${value} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onChange(event.currentTarget.value)}>
    ${PLACES.map((one) => html`<option key=${one} value=${one} selected=${one === value}>${t(`place.${one}`)}</option>`)}
  </select>
`;

/** @param {Answered} props */
const Prefix = ({ label, value, onChange }) =>
  html`<input class="setting-prefix" aria-labelledby=${label} value=${value} maxlength="3" pattern="[A-Z]{0,3}" autocapitalize="characters" autocomplete="off" dir="ltr" onInput=${(/** @type {Typed} */ event) => onChange((event.currentTarget.value = event.currentTarget.value.toUpperCase().replaceAll(/[^A-Z]/g, "")))} />`;

/** @param {Answered} props */
function Weights({ label, value, onChange }) {
  const points = WEIGHTS.map((one) => html`<${Weight} key=${one} name=${one} value=${value[one]} onChange=${(/** @type {number} */ points) => onChange({ ...value, [one]: points })} />`);
  return html`<details role="group" aria-labelledby=${label}><summary>${inWords("weights", value)}</summary><div class="weights">${points}</div></details>`;
}

/** @param {{name: string, value: number, onChange: (points: number) => void}} props */
function Weight({ name, value, onChange }) {
  const years = name === "elderly_from" || name === "child_to";
  const minute = name === "per_minute";
  /** @param {Typed} event */
  const typed = (event) => event.currentTarget.value !== "" && onChange(event.currentTarget.valueAsNumber);
  return html`<label class="field"><span>${t(`weight.${name}`)}</span><input type="number" value=${value} min=${minute ? 0.1 : 0} max=${minute ? 1000 : years ? 150 : 10_000} step=${years ? 1 : "any"} required onInput=${typed} /></label>`;
}

/** The week: every opening of each day. @param {Answered} props */
function Hours({ label, value, onChange }) {
  const always = value === ALWAYS;
  const hours = /** @type {Opening[]} */ (always ? [] : value);
  const week = DAYS.slice(0, 5).map((weekday) => ({ weekday, opens: "08:00", closes: "17:00" }));
  const monday = hours.filter((one) => one.weekday === 0);
  const copied = () => onChange([...DAYS.slice(0, 5).flatMap((weekday) => monday.map((one) => ({ ...one, weekday }))), ...hours.filter((one) => one.weekday > 4)]);
  const ways = [
    { text: t("admin.set.hours.always"), on: always, choose: () => onChange(ALWAYS) },
    { text: t("admin.set.hours.week"), on: !always, choose: () => onChange(week) },
  ];
  return html`
    <div class="hours" role="group" aria-labelledby=${label}>
      <div class="radios">
        ${ways.map((one) => html`<label key=${one.text} class="radio"><input type="radio" name="hours" checked=${one.on} onChange=${one.choose} /><span>${one.text}</span></label>`)}
      </div>
      ${!always && html`<ul class="week">${DAYS.map((day) => html`<${Day} key=${day} day=${day} hours=${hours} onChange=${onChange} />`)}</ul>`}
      ${!always && monday.length > 0 && html`<button class="button" type="button" onClick=${copied}>${t("admin.set.hours.copy", { from: dayName(0), to: dayName(4) })}</button>`}
    </div>
  `;
}

/** @param {{day: number, hours: Opening[], onChange: (hours: Opening[]) => void}} props */
function Day({ day, hours, onChange }) {
  const name = { day: dayName(day) };
  const today = hours.flatMap((one, at) => (one.weekday === day ? [{ one, at }] : []));
  /** @param {number} at @param {Partial<Opening>} some */
  const edit = (at, some) => onChange(hours.map((one, index) => (index === at ? { ...one, ...some } : one)));
  const add = () => onChange([...hours, { weekday: day, opens: "08:00", closes: "17:00" }].sort((a, b) => a.weekday - b.weekday || a.opens.localeCompare(b.opens)));
  /** @param {number} at */
  const remove = (at) => onChange(hours.filter((_, index) => index !== at));
  /** @param {number} at @param {"opens" | "closes"} end */
  const clock = (at, end) => html`<input type="time" required aria-label=${t(`admin.set.hours.${end}`, name)} value=${hours[at]?.[end].slice(0, 5)} onChange=${(/** @type {Typed} */ event) => event.currentTarget.value && edit(at, { [end]: event.currentTarget.value })} />`;
  return html`
    <li>
      <span class="week-day">${name.day}</span>
      <div class="week-hours">
        ${today.length === 0 && html`<span class="soft">${t("admin.set.hours.closed")}</span>`}
        ${today.map(({ at }) => html`<span key=${at} class="week-one">${clock(at, "opens")}<span aria-hidden="true">–</span>${clock(at, "closes")}<button class="button quiet" type="button" aria-label=${t("admin.set.hours.remove", name)} onClick=${() => remove(at)}>×</button></span>`)}
      </div>
      <button class="button quiet" type="button" aria-label=${t("admin.set.hours.add", name)} onClick=${add}>+</button>
    </li>
  `;
}

/** What each kind of setting is answered with. @type {Record<string, any>} */
const CONTROLS = { order: Order, place: Place, weights: Weights, hours: Hours, number: Figure, prefix: Prefix, switch: Switch };
