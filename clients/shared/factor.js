// @ts-check
/**
 * Owns setting up a second factor: a code to scan, a first code as proof, and the recovery codes, which are shown once.
 *
 * @typedef {{secret: string, uri: string, qr_svg: string}} Begun
 */
import { useState } from "preact/hooks";

import { Problem, request } from "./api.js";
import { Copyable, Qr } from "./handout.js";
import { t } from "./i18n.js";
import { html } from "./ui.js";

/**
 * One step after the other; `onDone` once the recovery codes are kept.
 * @param {{onDone: () => void, onCancel?: () => void, onLeave?: () => void}} props
 */
export function FactorSetUp({ onDone, onCancel, onLeave }) {
  const [begun, setBegun] = useState(/** @type {Begun | null} */ (null));
  const [codes, setCodes] = useState(/** @type {string[] | null} */ (null));
  const [code, setCode] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  /** @param {() => Promise<void>} step */
  const take = async (step) => {
    setBusy(true);
    setProblem("");
    try {
      await step();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error.message);
    } finally {
      setBusy(false);
    }
  };
  const begin = () => take(async () => setBegun(await request("POST", "/session/totp", { body: {} })));
  /** @param {Event} event */
  const confirm = (event) => {
    event.preventDefault();
    void take(async () => {
      const body = { code: code.replaceAll(" ", "") };
      setCodes((await request("POST", "/session/totp/confirm", { body })).recovery_codes);
    });
  };
  const trouble = html`<div role="alert">${problem && html`<p class="problem">${problem}</p>`}</div>`;
  if (codes) return html`<${Recovery} codes=${codes} onDone=${onDone} />`;
  if (!begun)
    return html`
      <div class="factor">
        <p class="soft">${t("factor-set.lead")}</p>
        ${trouble}
        <div class="sheet-foot">
          ${onLeave && html`<button class="button" type="button" onClick=${onLeave}>${t("console.signout")}</button>`}
          <button class="button main" type="button" disabled=${busy} onClick=${begin}>${t("factor-set.begin")}</button>
        </div>
      </div>
    `;
  return html`
    <form class="factor" onSubmit=${confirm} data-testid="factor">
      <p>${t("factor-set.scan")}</p>
      <${Qr} svg=${begun.qr_svg} alt=${t("factor-set.qr")} />
      <${Copyable} label=${t("factor-set.secret")} text=${begun.secret} />
      <${CodeField} value=${code} onChange=${setCode} label=${t("factor-set.code")} digits />
      ${trouble}
      <div class="sheet-foot">
        ${onCancel && html`<button class="button" type="button" onClick=${onCancel}>${t("console.cancel")}</button>`}
        <button class="button main" type="submit" disabled=${busy} aria-busy=${busy}>${t("factor-set.confirm")}</button>
      </div>
    </form>
  `;
}

/** @param {{label: string, value: string, onChange: (code: string) => void, digits?: boolean}} props */
export const CodeField = ({ label, value, onChange, digits = false }) => html`
  <label class="field"><span>${label}</span>
    <input class="code" name="code" value=${value} required minlength="6" maxlength="40" autocomplete="one-time-code" inputmode=${digits ? "numeric" : "text"} autocapitalize="characters" spellcheck=${false} dir="ltr" autofocus
      onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => onChange(event.currentTarget.value)} />
  </label>
`;

/** @param {{codes: string[], onDone: () => void}} props */
const Recovery = ({ codes, onDone }) => html`
  <div class="factor" data-testid="recovery">
    <h2>${t("factor-set.recovery")}</h2>
    <p>${t("factor-set.recovery.text")}</p>
    <ol class="codes" dir="ltr">${codes.map((one) => html`<li key=${one}><code>${one}</code></li>`)}</ol>
    <${Copyable} label=${t("factor-set.recovery.all")} text=${codes.join(" ")} />
    <div class="sheet-foot">
      <button class="button" type="button" onClick=${() => print()}>${t("factor-set.print")}</button>
      <button class="button main" type="button" onClick=${onDone}>${t("factor-set.kept")}</button>
    </div>
  </div>
`;
