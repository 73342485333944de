// @ts-check
/**
 * Owns the settings of what patients are told, at the institution or of a doctor: what is set there, and what is
 * inherited from where.
 *
 * @import {Reminder} from "../shared/wishes.js"
 * @import {Answer, Control as Given, Standing, Typed} from "./settingsform.js"
 */
import { useAnswer } from "../shared/answer.js";
import { get } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Reminding } from "../shared/wishes.js";
import { Check } from "./parts.js";
import { Figure, SettingsForm, Switch } from "./settingsform.js";
import { retry, settingsTurn } from "./work.js";

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

/** @param {{level: "institution" | "doctor", id: number}} props */
export function NoticeSettings({ level, id }) {
  const path = `/${level}s/${id}/notices`;
  const [answer] = useAnswer(() => /** @type {Promise<Answer>} */ (get(path)), [path, settingsTurn.value], retry);
  if (!answer) return html`<p class="soft">${t("link.connecting")}</p>`;
  /** @param {Standing} one */
  const note = ({ own, origin }) => (own ? t("admin.set.own") : origin === "default" ? t("admin.notice.default") : t("admin.notice.inherited", { level: t(`level.${origin}`) }));
  return html`<${SettingsForm} path=${path} level=${level} family="admin.notice" doing="notices" testid="notice-settings" answer=${answer} settings=${SETTINGS} note=${note} control=${(/** @type {Given} */ one) => html`<${Control} ...${one} />`} />`;
}

/** @param {Given} props */
function Control({ kind, label, value, min, max, onChange }) {
  if (kind === "time") return html`<input type="time" aria-labelledby=${label} required value=${value.slice(0, 5)} onChange=${(/** @type {Typed} */ event) => event.currentTarget.value && onChange(event.currentTarget.value)} />`;
  if (kind === "number") return html`<${Figure} label=${label} value=${value} min=${min} max=${max} onChange=${onChange} />`;
  if (kind === "switch") return html`<${Switch} label=${label} value=${value} onChange=${onChange} />`;
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
        <${Reminding} one=${one} channels=${CHANNELS.filter((channel) => channel !== "app")} onChange=${(/** @type {Partial<Reminder>} */ some) => edit(at, some)} onRemove=${() => onChange(value.filter((_, nth) => nth !== at))} />
      </div>`)}
      ${value.length < 12 && html`<button class="button" type="button" onClick=${() => onChange([...value, { channel: "email", minutes: 180 }])}>${t("wishes.add")}</button>`}
    </div>
  `;
}
