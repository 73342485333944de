// @ts-check
/** Owns the agenda's start: who has signed in, and that the page follows them. */
import { letter } from "../shared/keys.js";
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { plusDays } from "../shared/times.js";
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

void start({ view: Agenda, title: "agenda.title", begin: () => user.peek()?.role !== "patient" && begin(), end, drawn: () => addEventListener("keydown", onKey) });
