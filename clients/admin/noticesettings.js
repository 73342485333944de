// @ts-check
/**
 * Owns the settings of what patients are told, at the institution or of a doctor: what is set there, and what is
 * inherited from where.
 *
 * @typedef {{own: Record<string, any>, effective: Record<string, any>, origin: Record<string, string>}} Answer
 * @typedef {{channel: string, minutes: number}} Reminder
 */
import { useEffect, useState } from "preact/hooks";

import { get } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { BEFORE, before } from "../shared/wishes.js";
import { Check } from "./parts.js";
import { change, pending, retry, settingsTurn } from "./work.js";

const SETTINGS = [
  { name: "reminders", kind: "reminders" },
  { name: "quiet_from", kind: "time" },
  { name: "quiet_to", kind: "time" },
  { name: "channels", kind: "channels" },
  { name: "wait_grown_minutes", kind: "number", min: 5, max: 240 },
  { name: "thank", kind: "switch" },
  { name: "thank_minutes", kind: "number", min: 0, max: 1440 },
  { name: "follow_no_show", kind: "switch" },
  { name: "no_show_minutes", kind: "number", min: 0, max: 1440 },
];
const CHANNELS = ["email", "sms", "push", "app", "whatsapp", "voice"];

/** @typedef {{currentTarget: HTMLInputElement}} Typed */

/** @param {{level: "institution" | "doctor", id: number}} props */
export function NoticeSettings({ level, id }) {
  const [answer, setAnswer] = useState(/** @type {Answer | null} */ (null));
  const [draft, setDraft] = useState(/** @type {Record<string, any>} */ ({}));
  const turn = settingsTurn.value;
  const path = `/${level}s/${id}/notices`;
  useEffect(() => {
    let current = true;
    const load = async () => {
      try {
        const found = await get(path);
        if (current) setAnswer(found);
      } catch (error) {
        if (retry(error) && current) setTimeout(load, 2_000);
      }
    };
    void load();
    return () => void (current = false);
  }, [path, turn]);
  if (!answer) return html`<p class="soft">${t("link.connecting")}</p>`;
  const dirty = Object.keys(draft);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (await change("notices", path, draft)) setDraft({});
  };
  /** @param {string} name */
  const reset = async (name) => {
    if (await change("reset", path, { [name]: null })) setDraft(({ [name]: _, ...rest }) => rest);
  };
  return html`
    <form class="settings" data-dirty=${dirty.length > 0 ? "" : null} onSubmit=${submit} data-testid="notice-settings">
      ${SETTINGS.map((one) => {
        const origin = answer.origin[one.name] ?? "default";
        const drafted = one.name in draft;
        const own = origin === level;
        const label = `notice-${one.name}`;
        const note = drafted ? t("admin.set.unsaved") : own ? t("admin.set.own") : origin === "default" ? t("admin.notice.default") : t("admin.notice.inherited", { level: t(`level.${origin}`) });
        return html`<div key=${one.name} class=${`setting ${own || drafted ? "is-own" : "is-inherited"}`} data-setting=${one.name} data-origin=${origin}>
          <div class="setting-head"><span class="setting-name" id=${label}>${t(`admin.notice.${one.name}`)}</span><small class="soft">${t(`admin.notice.${one.name}.text`)}</small></div>
          <div class="setting-value">
            <${Control} kind=${one.kind} label=${label} min=${one.min} max=${one.max} value=${drafted ? draft[one.name] : answer.effective[one.name]} onChange=${(/** @type {any} */ value) => setDraft({ ...draft, [one.name]: value })} />
            <p class="setting-from"><small>${note}</small>${own && !drafted && html`<button class="as-link" type="button" onClick=${() => reset(one.name)}>${level === "institution" ? t("admin.set.reset.default") : t("admin.set.reset")}</button>`}</p>
          </div>
        </div>`;
      })}
      ${dirty.length > 0 &&
      html`<div class="settings-foot">
        <span role="status">${t("admin.set.dirty", { n: dirty.length })}</span>
        <button class="button" type="button" onClick=${() => setDraft({})}>${t("admin.set.discard")}</button>
        <button class="button main" type="submit" aria-busy=${pending.value === "notices"}>${t("console.save")}</button>
      </div>`}
    </form>
  `;
}

/** @param {{kind: string, label: string, value: any, min?: number, max?: number, onChange: (value: any) => void}} props */
function Control({ kind, label, value, min, max, onChange }) {
  if (kind === "time") return html`<input type="time" aria-labelledby=${label} required value=${value.slice(0, 5)} onChange=${(/** @type {Typed} */ event) => event.currentTarget.value && onChange(event.currentTarget.value)} />`;
  if (kind === "number") return html`<input type="number" aria-labelledby=${label} required min=${min} max=${max} value=${value} onInput=${(/** @type {Typed} */ event) => event.currentTarget.value !== "" && onChange(event.currentTarget.valueAsNumber)} />`;
  if (kind === "switch") return html`<label class="check"><input type="checkbox" role="switch" aria-labelledby=${label} checked=${value} onChange=${() => onChange(!value)} /><span aria-hidden="true">${t(value ? "admin.yes" : "admin.no")}</span></label>`;
  if (kind === "channels") return html`<div role="group" aria-labelledby=${label}>${CHANNELS.map((one) => html`<${Check} key=${one} label=${t(`channel.${one}`)} checked=${value.includes(one)} onChange=${(/** @type {boolean} */ on) => onChange(on ? [...value, one] : value.filter((/** @type {string} */ each) => each !== one))} />`)}</div>`;
  return html`<${Reminders} label=${label} value=${value} onChange=${onChange} />`;
}

/** @param {{label: string, value: Reminder[], onChange: (value: Reminder[]) => void}} props */
function Reminders({ label, value, onChange }) {
  /** @param {number} at @param {Partial<Reminder>} some */
  const edit = (at, some) => onChange(value.map((one, nth) => (nth === at ? { ...one, ...some } : one)));
  return html`
    <div class="reminders" role="group" aria-labelledby=${label}>
      ${value.map((one, at) => html`<div key=${at} class="reminder">
        <select aria-label=${t("wishes.channel")} value=${one.channel} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => edit(at, { channel: event.currentTarget.value })}>${CHANNELS.filter((channel) => channel !== "app").map((channel) => html`<option key=${channel} value=${channel} selected=${channel === one.channel}>${t(`channel.${channel}`)}</option>`)}</select>
        <select aria-label=${t("wishes.before")} value=${one.minutes} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => edit(at, { minutes: Number(event.currentTarget.value) })}>${[...new Set([...BEFORE, one.minutes])].sort((a, b) => a - b).map((minutes) => html`<option key=${minutes} value=${minutes} selected=${minutes === one.minutes}>${before(minutes)}</option>`)}</select>
        <button class="button quiet" type="button" aria-label=${t("wishes.remove")} onClick=${() => onChange(value.filter((_, nth) => nth !== at))}>×</button>
      </div>`)}
      ${value.length < 12 && html`<button class="button" type="button" onClick=${() => onChange([...value, { channel: "email", minutes: 180 }])}>${t("wishes.add")}</button>`}
    </div>
  `;
}
