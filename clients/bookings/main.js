// @ts-check
/** Owns the start of the list of appointments: who has signed in, and that the page follows them. */
import { effect } from "@preact/signals";

import { t } from "../shared/i18n.js";
import { useOwn } from "../shared/language.js";
import { recover } from "../shared/reload.js";
import { resume, user } from "../shared/session.js";
import { html, mount } from "../shared/ui.js";
import { Bookings } from "./view.js";
import { begin, end } from "./work.js";

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

async function start() {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  effect(() => void (document.title = `${t("bookings.title")} · ${t("app.name")}`));
  mount(html`<${Bookings} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
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
