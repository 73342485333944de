// @ts-check
/** Owns the agenda's start: who has signed in, and that the page follows them. */
import { effect } from "@preact/signals";

import { t } from "../shared/i18n.js";
import { letter } from "../shared/keys.js";
import { useOwn } from "../shared/language.js";
import { recover } from "../shared/reload.js";
import { resume, user } from "../shared/session.js";
import { plusDays } from "../shared/times.js";
import { html, mount } from "../shared/ui.js";
import { go, route } from "./route.js";
import { Agenda } from "./view.js";
import { begin, day, end } from "./work.js";

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !user.peek()) return;
  const target = /** @type {HTMLElement | null} */ (event.target);
  if (document.querySelector("dialog[open]") || target?.closest("input, select, textarea")) return;
  const pressed = letter(event);
  if (pressed === "t") return go({ day: "" });
  if (pressed === "d" || pressed === "w") return go({ span: pressed === "d" ? "day" : "week" });
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const onward = (event.key === "ArrowRight") === (document.documentElement.dir !== "rtl");
  go({ day: plusDays(day.peek(), (route.peek().span === "week" ? 7 : 1) * (onward ? 1 : -1)) });
}

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

async function start() {
  addEventListener("unhandledrejection", (event) => console.error(event.reason));
  await useOwn();
  effect(() => void (document.title = `${t("agenda.title")} · ${t("app.name")}`));
  mount(html`<${Agenda} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
  document.documentElement.dataset.started = "yes";
  addEventListener("keydown", onKey);
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
