// @ts-check
/**
 * Owns bringing in spreadsheets: a file is tried first, every bad row is told, and only a good file is brought in.
 *
 * @typedef {{trial: boolean, rows: number, added: number, there: number, bad: {line: number, column: string | null, detail: string}[], doubts: {line: number, number: string, name: string}[]}} Imported
 */
import { useState } from "preact/hooks";

import { t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Card, Choice } from "./parts.js";
import { change, chosen, pending } from "./work.js";

/** @param {{kinds: string[]}} props */
export function Import({ kinds }) {
  const [kind, setKind] = useState(kinds[0] ?? "");
  const [content, setContent] = useState("");
  const [told, setTold] = useState(/** @type {Imported | null} */ (null));
  /** @param {string} text @param {boolean} trial */
  const bring = async (text, trial) => {
    const answer = await change(trial ? "tried" : "imported", "/imports", { kind, content: text, trial, institution_id: chosen.peek() });
    setTold(answer);
    if (answer && !trial) setContent("");
  };
  /** @param {{currentTarget: HTMLInputElement}} event */
  const choose = async (event) => {
    const file = event.currentTarget.files?.[0];
    event.currentTarget.value = "";
    if (!file) return;
    const text = await file.text();
    setContent(text);
    await bring(text, true);
  };
  const ready = told?.trial && told.bad.length === 0 && told.added > 0 && content;
  return html`
    <${Card} title=${t("admin.import")} note=${t("admin.import.text")}>
      <div class="form-row">
        ${kinds.length > 1 && html`<${Choice} label=${t("admin.import.kind")} value=${kind} options=${kinds.map((one) => ({ value: one, text: t(`admin.import.${one}`) }))} onChange=${(/** @type {string} */ next) => (setKind(next), setTold(null), setContent(""))} />`}
        <label class="field"><span>${t("admin.import.file")}</span><input type="file" accept=".csv,text/csv,text/plain" onChange=${choose} /></label>
      </div>
      <p><a href=${`/api/v1/imports/${kind}`} download>${t("admin.import.template")}</a></p>
      ${told && html`
        <div role="status">
          <p>${t(told.trial ? "admin.import.would" : "admin.import.did", { added: told.added, there: told.there, bad: told.bad.length })}</p>
          <ul class="entries">
            ${told.bad.map((one, at) => html`<li key=${at} class="entry" data-testid="import-bad"><strong>${t("admin.import.line", { n: one.line })}</strong><bdi>${one.column ?? ""}</bdi><span dir="auto">${one.detail}</span></li>`)}
            ${told.doubts.map((one, at) => html`<li key=${`d${at}`} class="entry"><strong>${t("admin.import.line", { n: one.line })}</strong><span>${t("admin.import.doubt", { name: one.name, number: one.number })}</span></li>`)}
          </ul>
        </div>
      `}
      ${ready && html`<div class="form-foot"><button class="button main" type="button" disabled=${pending.value !== ""} onClick=${() => bring(content, false)}>${t("admin.import.go", { n: told?.added ?? 0 })}</button></div>`}
    <//>
  `;
}
