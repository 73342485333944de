// @ts-check
/**
 * Owns bringing in spreadsheets: a file is tried first, every bad row is told, and only a good file is brought in.
 *
 * @typedef {{line: number, column: string | null, code: string | null, detail: string}} BadRow
 * @typedef {{trial: boolean, rows: number, added: number, there: number, bad: BadRow[], doubts: {line: number, number: string, name: string}[]}} Imported
 */
import { useRef, useState } from "preact/hooks";

import { Problem, newKey, request, wordFor } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { say } from "../shared/word.js";
import { Card, Choice } from "./parts.js";
import { chosen } from "./work.js";

/** A file of two thousand rows is looked at row by row. */
const PATIENCE_MS = 180_000;
/** So many bad rows are shown at once; the rest on demand. */
const SHOWN = 50;

/** @param {{kinds: string[]}} props */
export function Import({ kinds }) {
  const [kind, setKind] = useState(kinds[0] ?? "");
  const [content, setContent] = useState("");
  const [told, setTold] = useState(/** @type {Imported | null} */ (null));
  const [under, setUnder] = useState(0);
  const [all, setAll] = useState(false);
  // What is under way, at once: a second press comes before the page is drawn anew.
  const busy = useRef(false);
  /** @param {string} text @param {boolean} trial */
  const bring = async (text, trial) => {
    if (busy.current) return;
    busy.current = true;
    const who = user.peek()?.id;
    setUnder(Math.max(1, text.trim().split(/\r\n|\r|\n/).length - 1));
    setAll(false);
    try {
      const body = { kind, content: text, trial, institution_id: chosen.peek() };
      setTold(await request("POST", "/imports", { body, key: newKey(), patience: PATIENCE_MS }));
      if (user.peek()?.id !== who) return;
      say({ text: t(`admin.done.${trial ? "tried" : "imported"}`), kind: "done" });
      if (!trial) setContent("");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (user.peek()?.id !== who) return;
      if (error.code === "not-authenticated") user.value = null;
      setTold(null);
      say({ text: error.message, kind: "problem" });
    } finally {
      busy.current = false;
      setUnder(0);
    }
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
  const bad = told?.bad.slice(0, all ? undefined : SHOWN) ?? [];
  return html`
    <${Card} title=${t("admin.import")} note=${t("admin.import.text")}>
      <div class="form-row">
        ${kinds.length > 1 && html`<${Choice} label=${t("admin.import.kind")} value=${kind} disabled=${under > 0} options=${kinds.map((one) => ({ value: one, text: t(`admin.import.${one}`) }))} onChange=${(/** @type {string} */ next) => (setKind(next), setTold(null), setContent(""))} />`}
        <label class="field"><span>${t("admin.import.file")}</span><input type="file" accept=".csv,text/csv,text/plain" disabled=${under > 0} onChange=${choose} /></label>
      </div>
      <p><a class="entry-link" href=${`/api/v1/imports/${kind}`} download>${t("admin.import.template")}</a></p>
      <div role="status">
        ${under > 0 && html`<label class="import-under"><span>${t("admin.import.under", { n: under })}</span><progress></progress></label>`}
        ${told && under === 0 && html`<p>${t(told.trial ? "admin.import.would" : "admin.import.did", { added: told.added, there: told.there, bad: told.bad.length })}</p>`}
      </div>
      ${told && under === 0 && html`
        <ul class="entries">
          ${bad.map((one, at) => html`<li key=${at} class="entry" data-testid="import-bad"><strong>${t("admin.import.line", { n: one.line })}</strong><bdi>${one.column ?? ""}</bdi><span dir="auto">${wordFor(one.code, one.detail)}</span></li>`)}
          ${told.doubts.map((one, at) => html`<li key=${`d${at}`} class="entry"><strong>${t("admin.import.line", { n: one.line })}</strong><span>${t("admin.import.doubt", { name: one.name, number: one.number })}</span></li>`)}
        </ul>
        ${bad.length < told.bad.length && html`<button class="button" type="button" onClick=${() => setAll(true)}>${t("admin.import.rest", { n: told.bad.length - bad.length })}</button>`}
      `}
      ${ready && html`<div class="form-foot"><button class="button main" type="button" disabled=${under > 0} onClick=${() => bring(content, false)}>${t("admin.import.go", { n: told?.added ?? 0 })}</button></div>`}
    <//>
  `;
}
