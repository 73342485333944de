// @ts-check
/** Owns checking in by a letter's link, without signing in: the code of the place, and the number that one waits with. */
import { signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { html } from "../shared/ui.js";

/** What the link shows of its appointment; it stays in this browser. */
export const link = signal(/^#here=(\d{1,18}\.[0-9a-f]{32})$/.exec(location.hash)?.[1] ?? "");

const code = signal("");
const problem = signal("");
const working = signal(false);
const there = signal(/** @type {{token: string, link: string} | null} */ (null));

/** @param {Event} event */
async function submit(event) {
  event.preventDefault();
  if (working.peek()) return;
  working.value = true;
  problem.value = "";
  try {
    there.value = await request("POST", "/check-in/link", { body: { link: link.peek(), code: code.peek().trim() } });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // An answer that was lost on its way: they are checked in all the same.
    if (error.code === "already-checked-in" && error.body.token) there.value = { token: error.body.token, link: "" };
    else problem.value = error.message;
  } finally {
    working.value = false;
  }
}

/** On to signing in, for everything else. */
function leave() {
  history.replaceState(null, "", location.pathname);
  link.value = "";
}

export function Here() {
  const done = there.value;
  return html`
    <main class="gate">
      <div class="gate-card" data-testid="here" data-done=${done !== null}>
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        ${done ? html`<${There} token=${done.token} ticket=${done.link} />` : html`<${Code} />`}
        <button class="button quiet" type="button" onClick=${leave}>${t("mine.here.signin")}</button>
        <${LanguageChoice} />
      </div>
    </main>
  `;
}

const Code = () => html`
  <h1>${t("mine.here.title")}</h1>
  <form class="code-step" onSubmit=${submit}>
    <p class="soft">${t("mine.here.text")}</p>
    <label class="field"><span>${t("mine.checkin.code")}</span><input class="code" name="code" type="text" required inputmode="numeric" autocomplete="off" maxlength="12" dir="ltr" autofocus value=${code.value} onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => (code.value = event.currentTarget.value)} /></label>
    <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
    <button class="button main" type="submit" disabled=${working.value} aria-busy=${working.value}>${working.value ? t("console.working") : t("mine.checkin.yes")}</button>
  </form>
`;

/** @param {{token: string, ticket: string}} props */
const There = ({ token, ticket }) => html`
  <div class="code-step" role="status">
    <h1>${t("mine.checkedin.said", { token })}</h1>
    ${ticket && html`<a class="button main" href=${new URL(ticket, location.href).pathname}>${t("mine.token.open")}</a>`}
  </div>
`;
