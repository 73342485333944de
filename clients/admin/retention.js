// @ts-check
/**
 * Owns what an institution wants forgotten of its patients, and after how many days.
 *
 * Invariant: nothing is set without being asked once more: what is forgotten does not come back.
 *
 * @typedef {{visits_days: number | null, notices_days: number | null, events_days: number | null, patients_days: number | null}} Retention
 */
import { useState } from "preact/hooks";

import { useAnswer } from "../shared/answer.js";
import { get } from "../shared/api.js";
import { number, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Card, Confirm, ask, without } from "./parts.js";
import { Setting } from "./settingsform.js";
import { change, pending, retry, settingsTurn } from "./work.js";

const KINDS = /** @type {{name: keyof Retention, least: number}[]} */ ([
  { name: "visits_days", least: 30 },
  { name: "notices_days", least: 7 },
  { name: "events_days", least: 7 },
  { name: "patients_days", least: 365 },
]);
const MOST = 36_500;

/** @param {{institution: number}} props */
export function Forgetting({ institution }) {
  const [draft, setDraft] = useState(/** @type {Partial<Retention>} */ ({}));
  const turn = settingsTurn.value;
  const path = `/institutions/${institution}/retention`;
  const [kept, setKept] = useAnswer(() => /** @type {Promise<Retention>} */ (get(path)), [path, turn], retry);
  if (!kept) return html`<${Card} title=${t("admin.retention")}><p class="soft">${t("link.connecting")}</p><//>`;
  const changed = KINDS.filter(({ name }) => name in draft && draft[name] !== kept[name]);
  const save = async () => {
    const done = await change("settings", path, Object.fromEntries(changed.map(({ name }) => [name, draft[name] ?? null])));
    if (!done) return false;
    // What is kept by now shows at once, and what was typed meanwhile stays.
    setKept(/** @type {Retention} */ (done));
    setDraft((now) => without(now, draft));
    return true;
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const goes = changed.filter(({ name }) => draft[name] !== null).map(({ name }) => t("admin.retention.after", { what: t(`admin.retention.${name}`), days: number(draft[name] ?? 0) }));
    if (goes.length === 0) return void save();
    ask(() => html`<${Confirm} title=${t("admin.retention.sure")} text=${`${goes.join(" ")} ${t("admin.retention.sure.text")}`} action=${t("console.save")} onSubmit=${save} />`);
  };
  return html`
    <${Card} title=${t("admin.retention")} note=${t("admin.retention.text")}>
      <form class="settings" data-dirty=${changed.length > 0 ? "" : null} onSubmit=${submit} data-testid="retention">
        ${KINDS.map(({ name, least }) => html`<${Days} key=${name} name=${name} least=${least} value=${name in draft ? draft[name] : kept[name]} onChange=${(/** @type {number | null} */ days) => setDraft({ ...draft, [name]: days })} />`)}
        <div class="form-foot"><button class="button main" type="submit" disabled=${changed.length === 0} aria-busy=${pending.value === "settings"}>${t("console.save")}</button></div>
      </form>
    <//>
  `;
}

/** @param {{name: string, least: number, value: number | null, onChange: (days: number | null) => void}} props */
function Days({ name, least, value, onChange }) {
  /** @param {{currentTarget: HTMLInputElement}} event */
  const typed = ({ currentTarget: { value: text, valueAsNumber } }) => onChange(text === "" ? null : valueAsNumber);
  const label = `admin.retention.${name}`;
  return html`
    <${Setting} name=${name} label=${label} own=${value !== null} note=${value === null ? t("admin.retention.kept") : t("admin.retention.least", { days: number(least) })}>
      <label class="keep"><input type="number" aria-labelledby=${label} value=${value ?? ""} min=${least} max=${MOST} step="1" placeholder="–" onInput=${typed} /> <span class="soft">${t("admin.retention.days")}</span></label>
    <//>
  `;
}
