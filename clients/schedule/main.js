// @ts-check
/** Owns the schedule page's start: who has signed in, and that the page follows them. */
import { effect } from "@preact/signals";

import { t } from "../shared/i18n.js";
import { useOwn } from "../shared/language.js";
import { recover } from "../shared/reload.js";
import { resume, user } from "../shared/session.js";
import { html, mount } from "../shared/ui.js";
import { Schedule } from "./view.js";
import { begin, end } from "./work.js";

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

async function start() {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  effect(() => void (document.title = `${t("schedule.title")} · ${t("app.name")}`));
  mount(html`<${Schedule} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
  document.documentElement.dataset.started = "yes";
  /** @type {number | null} */
  let seated = null;
  effect(() => {
    const id = user.value?.id ?? null;
    if (id === seated) return;
    seated = id;
    end();
    if (id !== null && user.value?.role !== "patient") void begin();
  });
  await resume();
}

void start();
