// @ts-check
/** Owns reception's start and its keyboard: one key a step, never while somebody is typing or answering. */
import { effect } from "@preact/signals";

import { letter } from "../shared/keys.js";
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { asking, carry, carryKey, pickUp } from "./carry.js";
import { begin, end, find } from "./desk.js";
import { walk } from "./lines.js";
import { correcting, deciding } from "./record.js";
import { abandon, back, fill, phase, restart } from "./registration.js";
import { help, urgency } from "./sheets.js";
import { said, undo } from "./steps.js";
import { Reception, tab } from "./view.js";

const URGENCIES = /** @type {const} */ (["routine", "urgent", "emergency"]);

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || !user.peek()) return;
  if (document.querySelector("dialog[open]")) return;
  if (carry.peek()) return void (carryKey(event.key) && event.preventDefault());
  const target = /** @type {HTMLElement | null} */ (event.target);
  const level = /^Digit([123])$/.exec(event.code)?.[1] ?? /^Numpad([123])$/.exec(event.code)?.[1];
  const typing = target?.closest("input:not([type=radio]):not([type=checkbox]), select, textarea, [contenteditable]");
  if (level && phase.peek() === "details" && (event.altKey || !typing)) {
    fill({ urgency: URGENCIES[Number(level) - 1] ?? "routine" });
    return event.preventDefault();
  }
  if (event.key === "Escape" && phase.peek() !== "find" && !target?.closest(".house")) {
    back();
    return event.preventDefault();
  }
  if (event.altKey || typing) return;
  if (onCard(event, target)) return event.preventDefault();
  if (event.repeat) return;
  const pressed = letter(event);
  if (pressed === "n") toSearch();
  else if (pressed === "q") toQueues();
  else if (pressed === "p" && phase.peek() === "slip") print();
  else if (pressed === "u") void undo();
  else if (pressed === "?") help.value = true;
  else return;
  event.preventDefault();
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement | null} target
 */
function onCard(event, target) {
  const card = target?.closest(".card-main");
  if (!card) return false;
  if ((event.key === " " || letter(event) === "m") && !event.repeat) {
    const ticket = Number(/** @type {HTMLElement} */ (card.closest("[data-ticket]")).dataset.ticket);
    pickUp(ticket);
    return true;
  }
  if (letter(event) === "e" && !event.repeat) return edit(card);
  if (letter(event) === "s" && !event.repeat) return decide(card);
  return event.key.startsWith("Arrow") && walk(event.key, card);
}

/** Correct the record of whoever is on the card. @param {Element} card */
function edit(card) {
  const ticket = Number(/** @type {HTMLElement} */ (card.closest("[data-ticket]")).dataset.ticket);
  correcting.value = find(ticket)?.ticket.patient ?? null;
  return true;
}

/** Open, pause or close the queue that the card is in. @param {Element} card */
function decide(card) {
  deciding.value = Number(/** @type {HTMLElement} */ (card.closest("[data-queue]")).dataset.queue);
  return true;
}

/** The space bar's press is undone here: released, it would open the card that it has just picked up. @param {KeyboardEvent} event */
function onKeyUp(event) {
  const card = /** @type {HTMLElement | null} */ (event.target)?.closest(".card-main");
  if (card && event.key === " ") event.preventDefault();
}

function toSearch() {
  if (phase.peek() !== "find") restart();
  reach("register", "#find");
}

const toQueues = () => reach("queues", '.card-main[tabindex="0"]');

/**
 * Put the focus there: at once, since the next key may follow at once, or as soon as its half of the page is shown.
 * @param {"register" | "queues"} half
 * @param {string} selector
 */
function reach(half, selector) {
  const focus = () => /** @type {HTMLElement | null} */ (document.querySelector(selector))?.focus();
  focus();
  if (tab.peek() === half) return;
  tab.value = half;
  requestAnimationFrame(focus);
}

/** Nothing of a registration, and nothing that was asked, is left for whoever sits down next. */
const leave = () => {
  end();
  abandon();
  asking.value = carry.value = urgency.value = correcting.value = deciding.value = null;
  help.value = false;
  said.value = "";
};

void start({
  view: Reception,
  title: "reception.title",
  begin,
  end: leave,
  drawn: () => {
    addEventListener("keydown", onKey);
    addEventListener("keyup", onKeyUp);
    // A ticket shown anew is shown where it can be seen.
    effect(() => void (phase.value === "slip" && (tab.value = "register")));
  },
});
