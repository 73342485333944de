// @ts-check
/**
 * Owns what a patient is told on their own page: words that come up as they are told something, and the section in
 * which they say what they want to be told.
 *
 * @import {PatientNotice} from "../shared/events.js"
 */
import { useEffect, useState } from "preact/hooks";

import { Problem, act } from "../shared/api.js";
import { t } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { html } from "../shared/ui.js";
import { Wishes } from "../shared/wishes.js";
import { notices } from "./state.js";

/** As many are shown at once; the rest follow as these are put away. */
const AT_ONCE = 3;

/** @param {number[]} ids */
async function seen(ids) {
  try {
    await act("/notices/seen", { notices: ids });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "not-authenticated") user.value = null;
  }
}

/** Where a notice leads from here; what is on this very page leads nowhere. @param {PatientNotice} one */
const way = (one) => (one.opens.startsWith("/") && one.opens !== "/appointments" && one.opens !== "/" ? one.opens : null);

/** What stands on this page itself, with its answer: words beside it would outlive it. */
const ELSEWHERE = new Set(["waitlist-offer"]);

export function Toasts() {
  const all = notices.value.filter((one) => !ELSEWHERE.has(one.kind));
  const shown = notices.value.filter((one) => ELSEWHERE.has(one.kind)).map((one) => one.notice);
  useEffect(() => {
    if (shown.length) void seen(shown);
  }, [shown.join()]);
  return html`
    <section class="told" aria-label=${t("mine.told")} role="log" aria-live="polite">
      ${all.slice(-AT_ONCE).map((one) => html`<article key=${one.notice} class="told-one" data-testid="told" data-kind=${one.kind}>
        <div><strong>${one.title}</strong><p dir="auto">${one.body}</p>${way(one) && html`<a class="button" href=${way(one)} onClick=${() => seen([one.notice])}>${t("mine.told.open")}</a>`}</div>
        <button class="button quiet" type="button" aria-label=${t("mine.told.seen")} onClick=${() => seen([one.notice])}>×</button>
      </article>`)}
      ${all.length > AT_ONCE && html`<button class="button quiet" type="button" onClick=${() => seen(all.map((one) => one.notice).slice(-100))}>${t("mine.told.all", { n: all.length })}</button>`}
    </section>
  `;
}

export function Preferences() {
  const [open, setOpen] = useState(false);
  return html`
    <details class="preferences" data-testid="preferences" onToggle=${(/** @type {{currentTarget: HTMLDetailsElement}} */ event) => setOpen(event.currentTarget.open)}>
      <summary>${t("wishes.title")}</summary>
      ${open && html`<${Wishes} path="/preferences" onGone=${() => (user.value = null)} />`}
    </details>
  `;
}
