// @ts-check
/**
 * Owns the page behind the link at the end of a letter: no more messages like it, or none at all, and back again.
 *
 * Invariant: opening the page changes nothing, since programs follow links, too; a press does, at once.
 *
 * @typedef {{institution: string, topic: string, channel: string, language: string, subscribed: boolean}} Subscription
 */
import { signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { Nothing, Opening, begin, opened, secret } from "../shared/bylink.js";
import { t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { html } from "../shared/ui.js";

const told = signal(/** @type {Subscription | null} */ (null));
const unknown = signal(false);
const everything = signal(false);
const busy = signal(false);
const problem = signal("");

async function load() {
  told.value = await opened(() => request("POST", "/unsubscribe/show", { body: { token: secret } }));
  unknown.value = told.peek() === null;
}

/** @param {Record<string, boolean>} [more] */
async function end(more = {}) {
  busy.value = true;
  problem.value = "";
  try {
    told.value = await request("POST", "/unsubscribe", { body: { token: secret, ...more } });
    everything.value = more.everything === true && !more.back;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problem.value = error.message;
  } finally {
    busy.value = false;
  }
}

function Page() {
  if (unknown.value) return html`<${Nothing} title=${t("feedback.unknown")} text=${t("unsubscribe.unknown.text")} />`;
  const one = told.value;
  if (!one) return html`<${Opening} />`;
  const values = { institution: one.institution, topic: t(`topic.${one.topic}`), channel: t(`channel.${one.channel}`) };
  return html`
    <main class="gate">
      <div class="gate-card" data-testid="unsubscribe" data-subscribed=${one.subscribed}>
        <img src="/clients/shared/icon.svg" alt="" width="48" height="48" />
        <h1 role="status">${one.subscribed ? t("unsubscribe.title") : t("unsubscribe.done")}</h1>
        <p>${one.subscribed ? t("unsubscribe.text", values) : everything.value ? t("unsubscribe.done.all", values) : t("unsubscribe.done.text", values)}</p>
        <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
        ${one.subscribed
          ? html`<button class="button main" type="button" disabled=${busy.value} data-testid="end" onClick=${() => end()}>${t("unsubscribe.these", values)}</button>`
          : html`<button class="button" type="button" disabled=${busy.value} data-testid="back" onClick=${() => end({ back: true, ...(everything.value ? { everything: true } : {}) })}>${t("unsubscribe.back")}</button>`}
        ${!everything.value && html`<button class="button" type="button" disabled=${busy.value} data-testid="end-all" onClick=${() => end({ everything: true })}>${t("unsubscribe.all", values)}</button>`}
        <p class="soft"><small>${t("unsubscribe.note")}</small></p>
        <${LanguageChoice} />
      </div>
    </main>
  `;
}

void begin(Page, "unsubscribe.title").then(load);
