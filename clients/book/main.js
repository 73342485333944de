// @ts-check
/** Owns the booking page's start: the language, who is signed in, and nothing left of them when they have gone. */
import { effect } from "@preact/signals";

import { t } from "../shared/i18n.js";
import { useOwn } from "../shared/language.js";
import { recover } from "../shared/reload.js";
import { resume, user } from "../shared/session.js";
import { html, mount } from "../shared/ui.js";
import { begin, end, times } from "./booking.js";
import { catalogue, loadCatalogue } from "./catalogue.js";
import { hold } from "./hold.js";
import { go, place } from "./route.js";
import { Book } from "./view.js";

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

async function start() {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  effect(() => void (document.title = `${t("book.title")} · ${t("app.name")}`));
  mount(html`<${Book} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
  document.documentElement.dataset.started = "yes";
  /** @type {number | null} */
  let seated = null;
  effect(() => {
    const id = user.value?.id ?? null;
    if (id === seated || user.value === undefined) return;
    seated = id;
    end();
    if (id !== null) void loadCatalogue().then(() => catalogue.peek() && user.peek()?.id === id && begin());
  });
  // The last step is there only with a time to book.
  effect(() => void (hold.value === null && place.value.step === "form" && times.value && go({ ...place.peek(), step: "times" }, { replace: true })));
  await resume();
}

void start();
