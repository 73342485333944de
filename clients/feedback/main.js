// @ts-check
/**
 * Owns the page behind the link in the thanks for a visit: one question, one answer, which may be given anew.
 *
 * Invariant: what the link ends with goes to the server in a request's body alone.
 *
 * @typedef {{institution: string, doctor: string | null, started_at: string, zone: string, language: string, score: number | null}} Visit
 */
import { signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { Nothing, Opening, begin, opened, secret } from "../shared/bylink.js";
import { longDate, number, t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { html } from "../shared/ui.js";

const SCORES = [1, 2, 3, 4, 5];

const visit = signal(/** @type {Visit | null} */ (null));
const unknown = signal(false);
const said = signal("");
const problem = signal("");

async function load() {
  visit.value = await opened(() => request("POST", "/feedback/show", { body: { token: secret } }));
  unknown.value = visit.peek() === null;
}

/** What was chosen last, and what the server has taken; one is sent after the other, so that the last one stays. */
let wanted = 0;
let sending = false;

/** @param {number} score */
async function answer(score) {
  const shown = visit.peek();
  wanted = score;
  if (shown) visit.value = { ...shown, score };
  problem.value = said.value = "";
  if (sending) return;
  sending = true;
  let kept = shown;
  try {
    for (let sent = 0; sent !== wanted; ) {
      sent = wanted;
      kept = await request("POST", "/feedback", { body: { token: secret, score: sent } });
    }
    visit.value = kept;
    said.value = t("feedback.thanks");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    visit.value = kept;
    problem.value = error.message;
  } finally {
    sending = false;
  }
}

function Page() {
  if (unknown.value) return html`<${Nothing} title=${t("feedback.unknown")} text=${t("feedback.unknown.text")} />`;
  const one = visit.value;
  if (!one) return html`<${Opening} />`;
  const day = longDate(Date.parse(one.started_at), one.zone);
  return html`
    <main class="gate">
      <form class="gate-card" data-testid="feedback" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        <h1>${t("feedback.title")}</h1>
        <p>${one.doctor ? t("feedback.visit.doctor", { institution: one.institution, doctor: one.doctor, day }) : t("feedback.visit", { institution: one.institution, day })}</p>
        <fieldset class="scores">
          <legend>${t("feedback.question")}</legend>
          ${SCORES.map((score) => html`<label key=${score} class="score"><input type="radio" name="score" value=${score} checked=${one.score === score} onChange=${() => answer(score)} /><strong>${number(score)}</strong><small>${t(`feedback.score.${score}`)}</small></label>`)}
        </fieldset>
        <p role="status" data-testid="feedback-said">${said.value}</p>
        <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
        <p class="soft"><small>${t("feedback.use")}</small></p>
        <${LanguageChoice} />
      </form>
    </main>
  `;
}

void begin(Page, "feedback.title").then(load);
