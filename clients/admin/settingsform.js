// @ts-check
/**
 * Owns how settings that come from above are shown and changed: each value, whether it is set here or where it comes
 * from, what is drafted and not kept yet, and taking a value back to what is above.
 *
 * @typedef {{own: Record<string, any>, effective: Record<string, any>, origin: Record<string, string>}} Answer
 * @typedef {{name: string, kind: string, min?: number, max?: number}} Kind
 * @typedef {Kind & {label: string, value: any, onChange: (value: any) => void}} Control `label`: the id of what names it
 * @typedef {{name: string, kind: string, value: any, origin: string, own: boolean}} Standing
 * @typedef {{label: string, value: any, onChange: (value: any) => void, min?: number, max?: number}} Answered
 * @typedef {{currentTarget: HTMLInputElement}} Typed
 */
import { useEffect, useRef, useState } from "preact/hooks";

import { t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { without } from "./parts.js";
import { change, pending } from "./work.js";

/**
 * @param {{path: string, level: string, family: string, doing: string, testid: string, answer: Answer, settings: readonly Kind[], control: (one: Control) => any, note: (one: Standing) => string}} props
 *   `family`: what the texts' keys begin with; `doing`: what is under way while it is kept; `note`: where a value comes from, in words
 */
export function SettingsForm({ path, level, family, doing, testid, answer, settings, control, note }) {
  const [draft, setDraft] = useState(/** @type {Record<string, any>} */ ({}));
  // What is kept by now, until it is read: the old values would be back for a moment.
  const [kept, setKept] = useState(/** @type {Record<string, any>} */ ({}));
  const read = useRef(answer);
  read.current = answer;
  useEffect(() => setKept({}), [answer]);
  const dirty = Object.keys(draft);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    const before = read.current;
    if (!(await change(doing, path, draft))) return;
    if (read.current === before) setKept(draft);
    setDraft((now) => without(now, draft));
  };
  /** @param {string} name */
  const reset = async (name) => {
    if (await change("reset", path, { [name]: null })) {
      setDraft(({ [name]: _, ...rest }) => rest);
      setKept(({ [name]: _, ...rest }) => rest);
    }
  };
  return html`
    <form class="settings" data-dirty=${dirty.length > 0 ? "" : null} onSubmit=${submit} data-testid=${testid}>
      ${settings.map((one) => {
        const origin = answer.origin[one.name] ?? "default";
        const own = origin === level || one.name in kept;
        const drafted = one.name in draft;
        const label = `${family}.${one.name}`;
        const value = drafted ? draft[one.name] : one.name in kept ? kept[one.name] : answer.effective[one.name];
        return html`
          <${Setting} key=${one.name} name=${one.name} label=${label} origin=${origin} own=${own || drafted} note=${drafted ? t("admin.set.unsaved") : note({ ...one, value, origin, own })}
            reset=${own && !drafted && html`<button class="as-link" type="button" onClick=${() => reset(one.name)}>${level === "institution" ? t("admin.set.reset.default") : t("admin.set.reset")}</button>`}>
            ${control({ ...one, label, value, onChange: (found) => setDraft((now) => ({ ...now, [one.name]: found })) })}
          <//>
        `;
      })}
      ${dirty.length > 0 &&
      html`<div class="settings-foot">
        <span role="status">${t("admin.set.dirty", { n: dirty.length })}</span>
        <button class="button" type="button" onClick=${() => setDraft({})}>${t("admin.set.discard")}</button>
        <button class="button main" type="submit" aria-busy=${pending.value === doing}>${t("console.save")}</button>
      </div>`}
    </form>
  `;
}

/**
 * One setting: what it is, its value, and where that comes from.
 * @param {{name: string, label: string, own: boolean, note: string, origin?: string, reset?: any, children?: any}} props `label`: its text's key, which names its value, too
 */
export const Setting = ({ name, label, own, note, origin, reset = null, children }) => html`
  <div class=${`setting ${own ? "is-own" : "is-inherited"}`} data-setting=${name} data-origin=${origin}>
    <div class="setting-head">
      <span class="setting-name" id=${label}>${t(label)}</span>
      <small class="soft">${t(`${label}.text`)}</small>
    </div>
    <div class="setting-value">
      ${children}
      <p class="setting-from"><small>${note}</small>${reset}</p>
    </div>
  </div>
`;

/** @param {Answered} props */
export const Figure = ({ label, value, min, max, onChange }) =>
  html`<input type="number" aria-labelledby=${label} value=${value} min=${min} max=${max} required onInput=${(/** @type {Typed} */ event) => event.currentTarget.value !== "" && onChange(event.currentTarget.valueAsNumber)} />`;

/** @param {Answered} props */
export const Switch = ({ label, value, onChange }) => html`<label class="check"><input type="checkbox" role="switch" aria-labelledby=${label} checked=${value} onChange=${() => onChange(!value)} /><span aria-hidden="true">${t(value ? "admin.yes" : "admin.no")}</span></label>`;
