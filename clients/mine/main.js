// @ts-check
/** Owns the start of the page of own appointments: the language, who is signed in, and nothing left of them when they have gone. */
import { effect } from "@preact/signals";

import { catalogue, loadCatalogue } from "../book/catalogue.js";
import { t } from "../shared/i18n.js";
import { useOwn } from "../shared/language.js";
import { worker } from "../shared/offline.js";
import { lookAtPush } from "../shared/push.js";
import { recover } from "../shared/reload.js";
import { resume, user } from "../shared/session.js";
import { html, mount } from "../shared/ui.js";
import { begin, end } from "./state.js";
import { Mine } from "./view.js";

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

async function start() {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  effect(() => void (document.title = `${t("mine.title")} · ${t("app.name")}`));
  mount(html`<${Mine} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
  document.documentElement.dataset.started = "yes";
  /** @type {number | null} */
  let seated = null;
  effect(() => {
    const id = user.value?.id ?? null;
    if (id === seated || user.value === undefined) return;
    seated = id;
    end();
    if (user.peek()?.patient_id) void lookAtPush();
    if (id !== null) void loadCatalogue().then(() => catalogue.peek() && user.peek()?.id === id && begin());
  });
  void worker();
  await resume();
}

void start();
