// @ts-check
/** Owns the front page: which of the pages is for whom. */
import { t } from "../shared/i18n.js";
import { LanguageChoice, useOwn } from "../shared/language.js";
import { html, mount } from "../shared/ui.js";

const Front = () => html`
  <main class="front">
    <header>
      <img src="/clients/shared/icon.svg" alt="" width="56" height="56" />
      <h1>${t("front.title")}</h1>
      <p>${t("front.lead")}</p>
      <${LanguageChoice} />
    </header>
    <nav aria-label=${t("front.title")}>
      <a href="/book"><strong>${t("front.book")}</strong><span>${t("front.book.text")}</span></a>
      <a href="/appointments"><strong>${t("front.mine")}</strong><span>${t("front.mine.text")}</span></a>
      <a href="/board"><strong>${t("front.board")}</strong><span>${t("front.board.text")}</span></a>
      <a href="/reception"><strong>${t("front.reception")}</strong><span>${t("front.reception.text")}</span></a>
      <a href="/console"><strong>${t("front.console")}</strong><span>${t("front.console.text")}</span></a>
      <a href="/admin"><strong>${t("front.admin")}</strong><span>${t("front.admin.text")}</span></a>
    </nav>
    <p class="front-note"><strong>${t("front.ticket")}</strong> ${t("front.ticket.text")}</p>
  </main>
`;

await useOwn();
document.documentElement.dataset.started = "yes";
mount(html`<${Front} />`, { fallback: html`<main class="calm-screen"><p>${t("fault.page")}</p></main>`, onError: console.error });
