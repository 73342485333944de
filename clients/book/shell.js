// @ts-check
/** Owns what the pages for booking share: their head, the way between them, a word when the link is gone, signing in. */
import { useState } from "preact/hooks";

import { CodeSignIn } from "../shared/codesignin.js";
import { Stale } from "../shared/connection.js";
import { t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { html } from "../shared/ui.js";
import { again, catalogue, missing } from "./catalogue.js";

/** @param {{title: string, current: "book" | "mine", testid: string, children?: any}} props */
export function Shell({ title, current, testid, children }) {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${Entrance} title=${title} />`;
  if (catalogue.value === null) return html`<main class="calm-screen"><p role="status">${missing.value || t("link.connecting")}</p>${missing.value && html`<button class="button" type="button" onClick=${again}>${t("book.retry")}</button><button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>`}</main>`;
  const patient = user.value.role === "patient";
  return html`
    <div class="visit" data-testid=${testid}>
      <header class="top">
        <img src="/clients/shared/icon.svg" alt="" width="28" height="28" />
        <strong class="top-house"><bdi>${catalogue.value.institution.name}</bdi></strong>
        <div class="top-end"><${LanguageChoice} /><button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button></div>
      </header>
      <nav class="ways" aria-label=${t("book.ways")}>
        <a href="/book" aria-current=${current === "book" ? "page" : undefined}>${t("book.way")}</a>
        ${patient
          ? html`<a href="/appointments" aria-current=${current === "mine" ? "page" : undefined}>${t("mine.title")}</a>`
          : html`<a href="/bookings">${t("bookings.title")}</a><a href="/reception">${t("reception.title")}</a>`}
      </nav>
      <${Stale} />
      ${children}
    </div>
  `;
}

/** Patients come in by a code sent to them; those who work here by their password. @param {{title: string}} props */
function Entrance({ title }) {
  const [staff, setStaff] = useState(false);
  return html`
    ${staff ? html`<${SignIn} title=${title} />` : html`<${CodeSignIn} title=${title} />`}
    <p class="entrance-other"><button class="button quiet" type="button" data-testid="other-entrance" onClick=${() => setStaff(!staff)}>${staff ? t("book.entrance.patient") : t("book.entrance.staff")}</button></p>
  `;
}
