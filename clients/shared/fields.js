// @ts-check
/** Owns the fields that staff's pages are filled in by. */
import { t } from "./i18n.js";
import { html } from "./ui.js";

/** @param {{label: string, value: string, options: {value: string, text: string}[], onChange: (value: string) => void, note?: string, disabled?: boolean, testid?: string}} props */
export const Choice = ({ label, value, options, onChange, note = "", disabled = false, testid }) => html`
  <label class="field">
    <span>${label}</span>
    <select value=${value} disabled=${disabled} data-testid=${testid} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => onChange(event.currentTarget.value)}>
      ${options.map((one) => html`<option key=${one.value} value=${one.value} selected=${one.value === value}>${one.text}</option>`)}
    </select>
    ${note && html`<small class="soft">${note}</small>`}
  </label>
`;

/** What a list of choices begins with: none of them. @param {readonly {id: number, name: string}[]} all */
export const orAny = (all) => [{ value: "", text: t("bookings.any") }, ...all.map((one) => ({ value: String(one.id), text: one.name }))];
