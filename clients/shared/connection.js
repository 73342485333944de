// @ts-check
/**
 * Owns the one link of a page on which somebody has signed in: opened when first needed, closed when they leave.
 *
 * Invariant: a page takes a new build by itself only while nobody is at it and nothing would be lost.
 */
import { effect, signal } from "@preact/signals";

import { now } from "./clock.js";
import { span, t } from "./i18n.js";
import { renew } from "./reload.js";
import { resume, user } from "./session.js";
import { Link } from "./socket.js";
import { html } from "./ui.js";

/** Untouched for so long, the page may reload onto a new build. */
const LEFT_MS = 60_000;

export const stale = signal(false);
export const freshAt = signal(Date.now());
export const linked = signal(false);

/** @type {Link | null} */
let link = null;
/** Whether what the page is about could be thrown away. */
let free = () => true;

let touchedAt = Date.now();
for (const touch of ["pointerdown", "keydown"]) addEventListener(touch, () => (touchedAt = Date.now()));

/** Nobody is at it, and nothing would be lost by a reload. */
const idle = () => free() && document.querySelector("dialog[open], form[data-dirty]") === null && (document.hidden || Date.now() - touchedAt > LEFT_MS);

/**
 * The page's link, opened at the first call.
 * @param {() => boolean} unused nothing is under way or half written
 * @param {number} [quiet] milliseconds without a sign of life until the page counts as stale
 */
export function connect(unused, quiet) {
  free = unused;
  if (link) return link;
  const made = (link = new Link({ auth: () => ({}), quiet, onDenied: resume, onHello: (hello) => void renew(hello.build, idle) }));
  effect(() => void (stale.value = made.stale.value));
  effect(() => void (freshAt.value = made.freshAt.value));
  effect(() => void (linked.value = made.connected.value));
  return made;
}

/** Leave the link: somebody else may sit down here. */
export function disconnect() {
  link?.close();
  link = null;
  stale.value = linked.value = false;
}

/**
 * What a stream's refusal means to whoever has signed in.
 * @param {import("./wire.js").ProblemBody} problem
 * @param {() => void} shut they may not follow it, or not any more
 */
export function refused(problem, shut) {
  if (problem.code === "not-authenticated") user.value = null;
  else if (problem.code === "not-allowed" || problem.code === "not-found") shut();
}

/** How old what is shown is, while the link is gone; nothing otherwise. @param {{text?: string}} props */
export function Stale({ text = "console.stale" }) {
  if (!stale.value) return null;
  void now.value;
  return html`<p class="banner is-stale" role="alert" data-testid="stale">${t(text, { age: span((Date.now() - freshAt.value) / 1_000) })}</p>`;
}
