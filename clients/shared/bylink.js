// @ts-check
/**
 * Owns how a page begins that somebody comes to by the link in a message: what the link ends with, its language, its
 * title, its first drawing, and what shows where the link opens nothing.
 */
import { Problem, pause } from "./api.js";
import { t } from "./i18n.js";
import { LanguageChoice, useOwn } from "./language.js";
import { html, mount } from "./ui.js";

/** What the link ends with: a secret, which goes to the server in a request's body or header alone. */
export const secret = decodeURIComponent(location.pathname.split("/").pop() ?? "");

/**
 * What the link opens, asked for as long as it takes; null where it opens nothing (any more).
 * @template T
 * @param {() => Promise<T>} ask
 */
export async function opened(ask) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!error.retryable) return null;
      await pause(attempt);
    }
  }
}

/** Begin the page. @param {any} view @param {string} title the text's key */
export async function begin(view, title) {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  document.title = `${t(title)} · ${t("app.name")}`;
  mount(html`<${view} />`, { fallback: html`<main class="calm-screen"><p>${t("fault.page")}</p></main>`, onError: console.error });
  document.documentElement.dataset.started = "yes";
}

/** @param {{title: string, text: string}} props */
export const Nothing = ({ title, text }) => html`<main class="calm-screen"><h1>${title}</h1><p>${text}</p><${LanguageChoice} /></main>`;

export const Opening = () => html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
