// @ts-check
/** Owns the pieces that the back office is put together from: panes, sheets and fields. */
import { useEffect, useRef, useState } from "preact/hooks";

import { Asked } from "../shared/asked.js";
import { html } from "../shared/ui.js";
import { pending } from "./work.js";

export { ask, close, sheet, tell } from "../shared/asked.js";
export { Choice } from "../shared/fields.js";

/**
 * What has been drafted besides what was sent, or otherwise since.
 * @template {Record<string, any>} Draft
 * @param {Draft} now @param {Draft} sent
 */
export const without = (now, sent) => /** @type {Draft} */ (Object.fromEntries(Object.entries(now).filter(([name, value]) => !(name in sent) || sent[name] !== value)));

/**
 * A form over a record: what was typed stays, though the record changes or what was sent before is kept meanwhile.
 * @template {Record<string, any>} Fields
 * @param {Fields} record as the institution's stream has it
 */
export function useForm(record) {
  const [typed, setTyped] = useState(/** @type {Partial<Fields>} */ ({}));
  // What is kept by now, until the stream tells of it: the old values would be back for a moment.
  const [sent, setSent] = useState(/** @type {Partial<Fields>} */ ({}));
  const now = JSON.stringify(record);
  const last = useRef(now);
  last.current = now;
  useEffect(() => setSent({}), [now]);
  const form = /** @type {Fields} */ ({ ...record, ...sent, ...typed });
  /** @template {keyof Fields} Name @param {Name} name */
  const set = (name) => (/** @type {Fields[Name]} */ value) => setTyped((was) => ({ ...was, [name]: value }));
  /** @param {Promise<any>} kept */
  const after = async (kept) => {
    const before = now;
    if (!(await kept)) return;
    if (last.current === before) setSent((was) => ({ ...was, ...typed }));
    setTyped((was) => without(was, typed));
  };
  return { form, set, after };
}

/** The sheet of a change. @param {{title: string, action?: string, danger?: boolean, disabled?: boolean, children?: any, onSubmit?: () => Promise<boolean> | boolean}} props */
export const Sheet = (props) => html`<${Asked} ...${props} busy=${pending.value !== ""} />`;

/** A question before what can't be taken back. @param {{title: string, text: string, action: string, onSubmit: () => Promise<boolean> | boolean}} props */
export const Confirm = ({ title, text, action, onSubmit }) => html`<${Sheet} title=${title} action=${action} danger onSubmit=${onSubmit}><p class="sheet-note">${text}</p><//>`;

/**
 * @param {{label: string, value: string, onChange: (text: string) => void, type?: string, required?: boolean, max?: number, note?: string, name?: string, autocomplete?: string, pattern?: string}} props
 */
export function Text({ label, value, onChange, type = "text", required = true, max = 120, note = "", name = "", autocomplete = "off", pattern }) {
  return html`
    <label class="field">
      <span>${label}</span>
      <input type=${type} name=${name} value=${value} maxlength=${max} required=${required} pattern=${pattern} autocomplete=${autocomplete} spellcheck=${false}
        onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} />
      ${note && html`<small class="soft">${note}</small>`}
    </label>
  `;
}

/** @param {{label: string, checked: boolean, onChange: (on: boolean) => void, disabled?: boolean}} props */
export const Check = ({ label, checked, onChange, disabled = false }) =>
  html`<label class="check"><input type="checkbox" checked=${checked} disabled=${disabled} onChange=${() => onChange(!checked)} /><span>${label}</span></label>`;

/**
 * Several of a list, in no order. @param {{legend: string, options: {id: number, name: string}[], value: number[], onChange: (ids: number[]) => void, none?: string}} props
 */
export function Several({ legend, options, value, onChange, none = "" }) {
  return html`
    <fieldset class="several">
      <legend>${legend}</legend>
      ${options.map((one) => html`<${Check} key=${one.id} label=${one.name} checked=${value.includes(one.id)} onChange=${(/** @type {boolean} */ on) => onChange(on ? [...value, one.id] : value.filter((id) => id !== one.id))} />`)}
      ${none && value.length === 0 && html`<small class="soft">${none}</small>`}
    </fieldset>
  `;
}

/** A pane: its title, what it is for, what can be added. @param {{title: string, lead?: string, back?: {href: string, text: string} | null, actions?: any, children?: any}} props */
export function Pane({ title, lead = "", back = null, actions = null, children }) {
  return html`
    ${back && html`<a class="back" href=${back.href}><span class="arrow" aria-hidden="true">←</span> ${back.text}</a>`}
    <header class="pane-head">
      <div><h1 id="pane-title" tabindex="-1">${title}</h1>${lead && html`<p class="soft">${lead}</p>`}</div>
      ${actions && html`<div class="pane-actions">${actions}</div>`}
    </header>
    ${children}
  `;
}

/** @param {{title: string, note?: string, actions?: any, children?: any, id?: string}} props */
export function Card({ title, note = "", actions = null, children, id = "" }) {
  return html`
    <section class="card" id=${id || null} aria-label=${title}>
      <div class="card-head"><h2>${title}</h2>${actions}</div>
      ${note && html`<p class="soft card-note">${note}</p>`}
      ${children}
    </section>
  `;
}
