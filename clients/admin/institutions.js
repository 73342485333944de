// @ts-check
/** Owns which institution somebody looks at who stands above them all, and making another. */
import { useState } from "preact/hooks";

import { language, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Choice, Sheet, Text, ask } from "./parts.js";
import { LANGUAGES, Zone, languageName } from "./places.js";
import { change, chosen, follow, institutions, loadInstitutions } from "./work.js";

export const Institutions = () => html`
  <div class="top-institutions">
    ${institutions.value &&
    institutions.value.length > 0 &&
    html`<select class="top-select" aria-label=${t("admin.institution")} onChange=${(/** @type {{currentTarget: HTMLSelectElement}} */ event) => follow(Number(event.currentTarget.value))}>
      ${institutions.value.map((one) => html`<option key=${one.institution} value=${one.institution} selected=${one.institution === chosen.value}>${one.name}</option>`)}
    </select>`}
    <button class="button quiet" type="button" onClick=${() => ask(() => html`<${NewInstitution} />`)}>${t("admin.institution.new")}</button>
  </div>
`;

/** What somebody sees before there is any. */
export const NoneYet = () => html`
  <h1 id="pane-title" tabindex="-1">${t("admin.institution.none")}</h1>
  <div><button class="button main" type="button" onClick=${() => ask(() => html`<${NewInstitution} />`)}>${t("admin.institution.new")}</button></div>
`;

function NewInstitution() {
  const [name, setName] = useState("");
  const [zone, setZone] = useState(Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const [spoken, setSpoken] = useState(language.value);
  const submit = async () => {
    const made = await change("institution-new", "/institutions", { name: name.trim(), zone, languages: [spoken] }, { name: name.trim() });
    if (!made) return false;
    if (await loadInstitutions()) follow(made.institution);
    return true;
  };
  const languages = LANGUAGES.map((tag) => ({ value: tag, text: languageName(tag) }));
  return html`
    <${Sheet} title=${t("admin.institution.new")} action=${t("admin.add")} onSubmit=${submit}>
      <p class="sheet-note">${t("admin.institution.new.text")}</p>
      <${Text} label=${t("admin.name")} value=${name} onChange=${setName} />
      <${Zone} value=${zone} onChange=${setZone} />
      <${Choice} label=${t("admin.institution.language")} value=${spoken} options=${languages} onChange=${setSpoken} />
    <//>
  `;
}
