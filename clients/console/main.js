// @ts-check
/** Owns the console's start and its keyboard: one key a step, never while somebody is typing or answering. */
import { letter } from "../shared/keys.js";
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { close, open } from "./dialogs.js";
import { Console } from "./view.js";
import { begin, callNext, choosing, end, mine, place, ticketStep, undo } from "./work.js";

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!user.peek() || !place.peek() || choosing.peek() || document.querySelector("dialog[open]")) return;
  const target = /** @type {HTMLElement | null} */ (event.target);
  if (target?.closest("input, select, textarea, [contenteditable]")) return;
  if (event.key === " ") {
    // On a focused button the space bar presses that button; everywhere else it calls the next patient.
    if (target?.closest("button, a, summary")) return;
    event.preventDefault();
    return void callNext();
  }
  const pressed = letter(event);
  if (pressed === "?") return open("keys");
  if (pressed === "u") return undo();
  const ticket = mine.peek();
  if (!ticket) return;
  const called = ticket.state === "called";
  if (pressed === "s" && called) void ticketStep("start", ticket);
  else if (pressed === "r" && called) void ticketStep("recall", ticket);
  else if (pressed === "n" && called) void ticketStep("no-show", ticket);
  else if (pressed === "c") void ticketStep("complete", ticket);
  else if (pressed === "h" && called) open("hold", ticket);
  else if (pressed === "b" && called) open("return", ticket);
  else if (pressed === "t") open("transfer", ticket);
}

/** After a press with the mouse the focus would stay on that button, and the space bar would press it again. */
function onPressed(/** @type {MouseEvent} */ event) {
  const button = /** @type {HTMLElement | null} */ (event.target)?.closest("button");
  if (event.detail > 0 && button && !button.closest("dialog, form")) button.blur();
}

/** Nothing that was asked of one person is left for whoever sits down next. */
const leave = () => {
  end();
  close();
};

void start({
  view: Console,
  title: "console.title",
  begin,
  end: leave,
  drawn: () => {
    addEventListener("keydown", onKey);
    addEventListener("click", onPressed);
  },
});
