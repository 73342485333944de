// @ts-check
/**
 * Owns calling for help, and the alarm of whoever can give it: the same on every page of staff's.
 *
 * Invariant: an alarm stays in sight until it is over; who is on the way stands in it, and whom else it went to.
 *
 * @import {Emergency} from "./events.js"
 * @typedef {{id: number, name: string}} Named
 */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";

import { Problem, act, get } from "./api.js";
import { coarse } from "./clock.js";
import { span, t } from "./i18n.js";
import { user } from "./session.js";
import { Sheet } from "./sheet.js";
import { html } from "./ui.js";

/** While something goes on, whoever has no stream of emergencies looks so often; else now and then. */
const LOOK_MS = 4_000;
const REST_MS = 20_000;

const raising = signal(false);
const busy = signal(false);
const problem = signal("");
/** Counts what was done here: whoever asks for the list asks anew. */
const turn = signal(0);

/** @param {string} path @param {Record<string, any>} [body] */
async function send(path, body = {}) {
  if (busy.peek()) return false;
  busy.value = true;
  problem.value = "";
  try {
    await act(path, body);
    turn.value += 1;
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
    problem.value = error.message;
    return false;
  } finally {
    busy.value = false;
  }
}

export const EmergencyButton = () => html`<button class="button emergency-raise" type="button" data-testid="emergency-raise" onClick=${() => ((problem.value = ""), (raising.value = true))}>${t("emergency.raise")}</button>`;

/**
 * The question before help is called; nothing while nobody calls.
 * @param {{locations: Named[], location?: number | null, specialties?: Named[]}} props
 */
export const EmergencySheet = (props) => (raising.value ? html`<${Raise} ...${props} />` : null);

/** @param {{locations: Named[], location?: number | null, specialties?: Named[]}} props */
function Raise({ locations, location = null, specialties = [] }) {
  const [reason, setReason] = useState("");
  const [where, setWhere] = useState(String(location ?? locations[0]?.id ?? ""));
  const [specialty, setSpecialty] = useState("");
  const close = () => void (raising.value = false);
  const submit = async () => {
    const body = { reason: reason.trim(), location_id: Number(where), ...(specialty && { specialty_id: Number(specialty) }) };
    if (await send("/emergencies", body)) close();
  };
  /** @param {string} label @param {string} value @param {{value: string, text: string}[]} options @param {(value: string) => void} set */
  const choice = (label, value, options, set) => html`<label class="field"><span>${label}</span><select value=${value} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => set(event.currentTarget.value)}>${options.map((one) => html`<option key=${one.value} value=${one.value} selected=${one.value === value}>${one.text}</option>`)}</select></label>`;
  /** @param {Named[]} all */
  const named = (all) => all.map((one) => ({ value: String(one.id), text: one.name }));
  return html`
    <${Sheet} title=${t("emergency.title")} action=${t("emergency.send")} danger busy=${busy.value} disabled=${!where} problem=${problem.value} onClose=${close} onSubmit=${submit}>
      <p class="sheet-note">${t("emergency.text")}</p>
      <label class="field"><span>${t("emergency.reason")}</span><input autofocus required maxlength="500" autocomplete="off" value=${reason} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => setReason(event.currentTarget.value)} /></label>
      ${locations.length > 1 && choice(t("emergency.where"), where, named(locations), setWhere)}
      ${specialties.length > 0 && choice(t("emergency.specialty"), specialty, [{ value: "", text: t("emergency.any") }, ...named(specialties)], setSpecialty)}
    <//>
  `;
}

/** Everything that is not over, as alarms. @param {{list: Emergency[]}} props */
export const Alarms = ({ list }) => html`<div class="alarms" role="alert">${list.map((one) => html`<${Alarm} key=${one.emergency} emergency=${one} />`)}${list.length > 0 && problem.value && !raising.value && html`<p class="alarm-problem">${problem.value}</p>`}</div>`;

/** @param {{emergency: Emergency}} props */
function Alarm({ emergency: one }) {
  const going = one.acknowledged_at !== null;
  const about = [one.location_name, one.specialty_name, one.patient?.name].filter(Boolean);
  return html`
    <section class=${`alarm ${going ? "is-going" : ""}`} aria-label=${t("agenda.emergency")} data-testid="emergency" data-emergency=${one.emergency} data-level=${one.level}>
      <div class="alarm-told">
        <p><strong>${t("agenda.emergency")}</strong> ${about.map((text) => html`<span key=${text} dir="auto">${text}</span>`)} <span class="alarm-since">${t("emergency.ago", { time: span((coarse.value - Date.parse(one.raised_at)) / 1_000) })}</span></p>
        <p class="alarm-reason" dir="auto">${one.reason}</p>
        <p data-testid="emergency-state">${going ? t("agenda.emergency.going", { name: one.acknowledged_by ?? "" }) : t(`emergency.level.${one.level}`)}</p>
      </div>
      ${going
        ? html`<button class="button" type="button" disabled=${busy.value} onClick=${() => send(`/emergencies/${one.emergency}/end`)}>${t("agenda.emergency.over")}</button>`
        : html`<div class="alarm-steps"><button class="button" type="button" disabled=${busy.value} onClick=${() => send(`/emergencies/${one.emergency}/acknowledge`)}>${t("agenda.emergency.go")}</button><button class="button quiet" type="button" disabled=${busy.value} onClick=${() => send(`/emergencies/${one.emergency}/end`)}>${t("agenda.emergency.over")}</button></div>`}
    </section>
  `;
}

/**
 * The emergencies of a place, for a page that follows no stream of them.
 * @param {number | null} location
 * @returns {Emergency[]}
 */
export function useEmergencies(location) {
  const [list, setList] = useState(/** @type {Emergency[]} */ ([]));
  const open = list.length > 0;
  useEffect(() => {
    let current = true;
    const look = async () => {
      if (location === null || document.hidden) return;
      try {
        const found = await get(`/emergencies?location_id=${location}`);
        if (current) setList(found.items);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.code === "not-authenticated") user.value = null;
      }
    };
    void look();
    const timer = setInterval(look, open ? LOOK_MS : REST_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      current = false;
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [location, open, turn.value]);
  return list;
}
