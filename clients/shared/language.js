// @ts-check
/** Owns which language a person has chosen on this device, and the control with which they choose. */
import { fileFor, language, t, use, written } from "./i18n.js";
import { html, store } from "./ui.js";

const KEY = "callboard.language";
const kept = store();

/** @param {string} tag */
const base = (tag) => tag.split("-")[0];

/** What this person reads, best first: what they chose, then what their browser says. */
function own() {
  const chosen = kept.get(KEY);
  return chosen ? [regional(chosen), ...navigator.languages] : navigator.languages;
}

/** A language as this person's browser writes it: with the country, which decides on digits and times. @param {string} tag */
const regional = (tag) => navigator.languages.find((one) => base(one) === base(tag)) ?? tag;

/**
 * Use the language of whoever is at this device.
 * @param {readonly string[]} [among] the languages that the institution speaks; without it, any that has texts
 */
export const useOwn = (among) =>
  use(among ? [...own().filter((tag) => among.some((one) => base(one) === base(tag))), ...among] : own());

/** @param {string} tag */
const nameOf = (tag) => new Intl.DisplayNames([tag], { type: "language" }).of(tag) ?? tag;

/** Each language under its own name; nothing where there is no choice. @param {{among?: readonly string[]}} props */
export function LanguageChoice({ among = written() }) {
  const offered = [...new Set(among.flatMap((tag) => fileFor(tag) ?? []))];
  if (offered.length < 2) return null;
  /** @param {{currentTarget: HTMLSelectElement}} event */
  const choose = (event) => {
    kept.set(KEY, event.currentTarget.value);
    void use([regional(event.currentTarget.value)]);
  };
  return html`
    <label class="language">
      <svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3.5 9.5h17M3.5 14.5h17M12 3c-3 2.6-4 5.6-4 9s1 6.4 4 9c3-2.6 4-5.6 4-9s-1-6.4-4-9" /></svg>
      <span class="aside">${t("language.label")}</span>
      <select onChange=${choose} data-testid="language">
        ${offered.map((tag) => html`<option key=${tag} value=${tag} lang=${tag} selected=${tag === language.value}>${nameOf(tag)}</option>`)}
      </select>
    </label>
  `;
}
