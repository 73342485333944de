// @ts-check
/** Owns how a page begins for those who sign in: its language, its title, its first drawing, and who has sat down. */
import { effect } from "@preact/signals";

import { t } from "./i18n.js";
import { useOwn } from "./language.js";
import { recover } from "./reload.js";
import { resume, user } from "./session.js";
import { html, mount } from "./ui.js";

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

/**
 * Begin a page, and begin and end its work as people come and go: nothing of one is left for the next.
 * @param {{view: any, title?: string, begin: () => unknown, end: () => void, drawn?: () => void}} page
 *   `title`: the text's key, where the page has one title; `drawn`: what is left to do once it is on the screen
 */
export async function start({ view, title, begin, end, drawn }) {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  if (title) effect(() => void (document.title = `${t(title)} · ${t("app.name")}`));
  mount(html`<${view} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
  document.documentElement.dataset.started = "yes";
  drawn?.();
  /** @type {number | null} */
  let seated = null;
  effect(() => {
    const id = user.value?.id ?? null;
    if (id === seated) return;
    seated = id;
    end();
    if (id !== null) void begin();
  });
  await resume();
}
